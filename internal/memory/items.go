package memory

import (
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Item is a record as clients of the Chroma API see it: what is null there is nil here.
//
// What items in answers hold is shared with the memory: it must not be changed.
type Item struct {
	ID       string
	Document *string
	URI      *string
	Vector   []float32
	Metadata map[string]any // of the four kinds; in updates a nil value removes its key
}

// Mode says what writing an item does with IDs that exist, and with those that do not.
type Mode string

// The modes.
const (
	AddItems    Mode = "add"    // existing IDs stay as they are
	UpdateItems Mode = "update" // unknown IDs are passed over; metadata are merged; what is nil stays
	UpsertItems Mode = "upsert" // update where the ID exists, else add
)

// ItemSelection says which items are meant: all that have one of the IDs (nil: any) and match Filter (nil: all), in the
// order of adding, without the first Offset, and no more than Limit (0: all).
type ItemSelection struct {
	IDs     []string
	Filter  *api.Filter
	Limit   int
	Offset  int
	Vectors bool // answer with vectors
}

// ItemMatch is an item and its distance to what was asked for.
type ItemMatch struct {
	Item
	Distance float64
}
