//go:build !linux

package memory

import (
	"context"
	"errors"
)

func fillDisk(context.Context, *Store, string) error {
	return errors.New("disks are filled on Linux only")
}
