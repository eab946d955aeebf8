//go:build tools

// Pins the kube-apiserver that the apiserver tier runs against, and the kubectl that applies the manifests to it.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
