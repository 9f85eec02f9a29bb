package table

import "maps"

// keys are the metadata keys that have a column, by its number.
type keys struct {
	time    string // the key under which rows without one of their own show their time
	names   []string
	numbers map[string]int // never changed once readers have it
	own     bool           // numbers is the writer's alone
	more    bool           // there were keys that got no column
}

// number returns the number of a key's column, a new one if need be; not ok: it gets none.
func (k *keys) number(key string) (n int, ok bool) {
	if n, ok = k.numbers[key]; ok {
		return n, true
	}
	if len(k.names) == maxColumns {
		k.more = true
		return 0, false
	}
	if !k.own {
		k.numbers, k.own = maps.Clone(k.numbers), true
		if k.numbers == nil {
			k.numbers = make(map[string]int)
		}
	}
	k.numbers[key] = len(k.names)
	k.names = append(k.names, key)
	return len(k.names) - 1, true
}
