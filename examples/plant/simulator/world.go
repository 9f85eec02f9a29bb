package simulator

import "math"

// world is a pot at a window. Its fields are exported because it is kept as JSON.
type world struct {
	Hour float64 // of the day, 0 to 24
	Soil float64 // water, percent
	Peak float64 // today's highest temperature, °C
}

// advance lets hours pass. A new day draws its weather from chance, 0 to 1.
func (w *world) advance(hours, chance float64) {
	w.Hour += hours
	if w.Hour >= 24 {
		w.Hour -= 24
		w.Peak = 20 + 13*chance
	}
	thirst := 0.3 + w.height()*(w.Peak-10)/10 // percent an hour: leaves drink by day, and more when it is warm
	w.Soil = math.Max(0, w.Soil-thirst*hours)
}

// height of the sun: 0 at six in the morning and in the evening and all night, 1 at noon.
func (w *world) height() float64 { return math.Max(0, math.Sin((w.Hour-6)/12*math.Pi)) }

// light at the window, in lux.
func (w *world) light() float64 { return 30000 * w.height() }

// temperature in °C: the room warms up an hour or two behind the sun.
func (w *world) temperature() float64 {
	late := world{Hour: w.Hour - 1.5}
	return 16 + (w.Peak-16)*late.height()
}
