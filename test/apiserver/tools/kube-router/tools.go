//go:build tools

// Pins what enforces NetworkPolicies in the cluster tier.
package tools

import _ "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
