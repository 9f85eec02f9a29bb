package rtype

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"
)

// BenchmarkCall is what compiled code pays to call a built method, side by side with a compiled one.
func BenchmarkCall(b *testing.B) {
	n := NewNamed("rtype", "rtype", "bench")
	if err := n.Complete(reflect.TypeFor[struct{ a, b int }]()); err != nil {
		b.Fatal(err)
	}
	answer := []reflect.Value{reflect.ValueOf("answer")}
	less := []reflect.Value{reflect.ValueOf(true)}
	methods := []Method{
		{Name: "Quick", Type: reflect.TypeFor[func(i, j int) bool](), Raw: func(recv, frame unsafe.Pointer) { *(*bool)(unsafe.Add(frame, 16)) = true }},
		{Name: "Error", Type: reflect.TypeFor[func() string](), Call: func(unsafe.Pointer, []reflect.Value) []reflect.Value { return answer }},
		{Name: "Less", Type: reflect.TypeFor[func(i, j int) bool](), Call: func(unsafe.Pointer, []reflect.Value) []reflect.Value { return less }},
	}
	if err := n.SetMethods(methods, methods); err != nil {
		b.Fatal(err)
	}
	x := reflect.New(n.Type()).Interface()
	b.Run("Error", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = x.(error).Error()
		}
	})
	b.Run("Less", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = x.(interface{ Less(i, j int) bool }).Less(1, 2)
		}
	})
	b.Run("Raw", func(b *testing.B) {
		b.ReportAllocs()
		quick := x.(interface{ Quick(i, j int) bool })
		for b.Loop() {
			_ = quick.Quick(1, 2)
		}
	})
	b.Run("compiled", func(b *testing.B) {
		b.ReportAllocs()
		err := fmt.Errorf("compiled")
		for b.Loop() {
			_ = err.Error()
		}
	})
}

// BenchmarkBuild is a type with two fields, two methods and a pointer type with as many.
func BenchmarkBuild(b *testing.B) {
	methods := []Method{{Name: "Error", Type: reflect.TypeFor[func() string]()}, {Name: "Less", Type: reflect.TypeFor[func(i, j int) bool]()}}
	b.ReportAllocs()
	for range min(b.N, entries/8) {
		n := NewNamed("rtype", "rtype", "bench")
		if err := n.Complete(reflect.TypeFor[struct{ a, b int }]()); err != nil {
			b.Fatal(err)
		}
		if err := n.SetMethods(methods, methods); err != nil {
			b.Skip(err)
		}
	}
}
