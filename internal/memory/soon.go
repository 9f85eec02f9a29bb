package memory

import (
	"context"
	"errors"
)

// Signatures that others build on; their bodies come with the table (issue 4).
var errSoon = errors.New("not there yet")

func (s *Store) WriteItems(ctx context.Context, mode Mode, items []Item) error { return errSoon }
func (s *Store) Items(ctx context.Context, sel ItemSelection) ([]Item, error)  { return nil, errSoon }
func (s *Store) DeleteItems(ctx context.Context, sel ItemSelection) (int, error) {
	return 0, errSoon
}
func (s *Store) Attribute(key string) []byte { return nil }
func (s *Store) SetAttribute(ctx context.Context, key string, value []byte) error {
	return errSoon
}
func (s *Store) Settings() Settings                                     { return Settings{} }
func (s *Store) Configure(ctx context.Context, settings Settings) error { return errSoon }
func (s *Store) References(ids []string) []uint64                       { return make([]uint64, len(ids)) }
func (s *Store) AddReferences(ctx context.Context, ids []string) error  { return errSoon }
func (s *Store) Compact(ctx context.Context) error                      { return errSoon }
func (s *Store) Reembed(ctx context.Context, e Embedder, progress func(done, total int)) error {
	return errSoon
}
