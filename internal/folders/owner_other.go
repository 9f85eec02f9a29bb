//go:build !unix

package folders

import "io/fs"

// ownedByUser is always true where the temporary folder is the user's own.
func ownedByUser(fs.FileInfo) bool { return true }
