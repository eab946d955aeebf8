//go:build tools

// Pins the kube-apiserver that the apiserver tier runs against.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
