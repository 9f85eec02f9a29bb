//go:build !(darwin && amd64) && !(darwin && arm64) && !(linux && amd64) && !(linux && arm64)

package stdlib

// platform is empty: packages whose declarations differ between platforms cannot be imported.
const platform = ""
