package rtype

import (
	"reflect"
	"testing"
	"unsafe"
)

func TestCheck(t *testing.T) {
	if err := Check(); err != nil {
		t.Fatal(err)
	}
}

// TestCompareSeesWrongRecords: whatever is not as it should be in a record is told before it is used.
func TestCompareSeesWrongRecords(t *testing.T) {
	type sample struct {
		Text string `json:"text"`
		next *sample
	}
	typ := reflect.TypeFor[sample]()
	for name, damage := range map[string]func(*structType){
		"nothing":   nil,
		"size":      func(s *structType) { s.size++ },
		"pointers":  func(s *structType) { s.pointers = nil },
		"name":      func(s *structType) { s.flags &^= hasName },
		"direct":    func(s *structType) { s.flags |= direct },
		"align":     func(s *structType) { s.align = 1 },
		"kind":      func(s *structType) { s.kind = uint8(reflect.Array) },
		"equal":     func(s *structType) { s.equal = nil },
		"fields":    func(s *structType) { s.fields = s.fields[:1] },
		"no fields": func(s *structType) { s.fields = nil },
		"offset":    func(s *structType) { s.fields[1].offset = 1 },
		"field":     func(s *structType) { s.fields[0].name = plainName("Text") },
		"type":      func(s *structType) { s.fields[0].typ = headerOf(typ) },
		"package":   func(s *structType) { s.pkgPath = plainName("elsewhere") },
	} {
		record := struct { // as the compiler puts the two
			structType
			methodTable
		}{structType: *headerOf(typ).asStruct(), methodTable: *headerOf(typ).table()}
		record.fields = append([]structField(nil), record.fields...)
		if damage != nil {
			damage(&record.structType)
		}
		err := compare((*header)(unsafe.Pointer(&record)), typ)
		if (err == nil) != (damage == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
