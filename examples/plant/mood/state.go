package mood

// state is all that the mood depends on: what each sense said last. Its fields are exported because it is kept as JSON.
type state struct {
	Soil, Light, Air string // percepts, "" before the first
	Mood             string
}

// after returns the state that a percept leads to; one that is unknown changes nothing. What hurts most decides, and a
// plant that is asleep dreams of nothing less than parched soil. Joy about water lasts until the next percept.
func (s state) after(percept string) state {
	switch percept {
	case "parched", "dry", "moist", "wet":
		s.Soil = percept
	case "dark", "dim", "bright":
		s.Light = percept
	case "cold", "mild", "hot":
		s.Air = percept
	case "watered":
		s.Soil, s.Mood = "moist", "glad" // moist as far as the mood goes: a sip is relief, too
		return s
	default:
		return s
	}
	switch {
	case s.Soil == "parched":
		s.Mood = "desperate"
	case s.Light == "dark":
		s.Mood = "sleepy"
	case s.Soil == "dry":
		s.Mood = "thirsty"
	case s.Air == "hot":
		s.Mood = "limp"
	case s.Light == "dim":
		s.Mood = "dreamy"
	default:
		s.Mood = "content"
	}
	return s
}
