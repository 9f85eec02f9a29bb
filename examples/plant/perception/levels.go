package perception

import "github.com/concurrent-modular-agent/coma/examples/plant/readings"

// level is a range of readings that feel the same: below the given value, and not below the level before.
type level struct {
	word  string
	below float64
}

// levels of each topic, from the lowest; the last has no end.
var levels = map[string][]level{
	readings.Soil:        {{"parched", 12}, {"dry", 30}, {"moist", 80}, {"wet", 0}},
	readings.Light:       {{"dark", 500}, {"dim", 12000}, {"bright", 0}},
	readings.Temperature: {{"cold", 10}, {"mild", 28}, {"hot", 0}},
}

// margins are how far a reading must be past a border before it counts, so that one that trembles there is not news.
var margins = map[string]float64{
	readings.Soil:        1,
	readings.Light:       200,
	readings.Temperature: 0.5,
}

// sentences say what a word means, for the log and the diary.
var sentences = map[string]string{
	"parched": "the soil is parched",
	"dry":     "the soil went dry",
	"moist":   "the soil is moist",
	"wet":     "the soil is soaked",
	"dark":    "it got dark",
	"dim":     "the light is soft",
	"bright":  "the sun is out",
	"cold":    "it is cold",
	"mild":    "the air is mild",
	"hot":     "it is hot",
	"watered": "somebody watered me",
}

// word says how value feels on topic, to one to whom it felt like before ("" at first).
func word(topic string, value float64, before string) string {
	margin := margins[topic]
	if at(topic, value-margin) == before || at(topic, value+margin) == before {
		return before
	}
	return at(topic, value)
}

func at(topic string, value float64) string {
	all := levels[topic]
	for _, l := range all[:len(all)-1] {
		if value < l.below {
			return l.word
		}
	}
	return all[len(all)-1].word
}
