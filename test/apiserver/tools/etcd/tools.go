//go:build tools

// Pins the etcd that the apiserver tier runs against.
package tools

import _ "go.etcd.io/etcd/server/v3"
