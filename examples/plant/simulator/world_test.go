package simulator

import "testing"

func TestWorld(t *testing.T) {
	w := world{Hour: 0, Soil: 60, Peak: 30}
	if w.light() != 0 || w.temperature() != 16 {
		t.Errorf("midnight has %v lux and %v °C", w.light(), w.temperature())
	}
	w.advance(12, 0)
	if w.light() != 30000 || w.temperature() < 28 {
		t.Errorf("noon has %v lux and %v °C", w.light(), w.temperature())
	}
	w.advance(13, 1)
	if w.Hour != 1 || w.Peak != 33 {
		t.Errorf("after 25 hours it is %v o'clock with a peak of %v °C to come", w.Hour, w.Peak)
	}
	for range 1000 {
		before := w.Soil
		w.advance(0.8, 0.5)
		if w.Soil > before || w.Soil < 0 || w.Hour < 0 || w.Hour >= 24 {
			t.Fatalf("world went from %v %% water to %+v", before, w)
		}
	}
	if w.Soil != 0 {
		t.Errorf("a plant that nobody waters has %v %% water left", w.Soil)
	}
}
