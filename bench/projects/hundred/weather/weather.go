// Package weather watches the readings of a few stations and says what it makes of them: a module of a hundred lines, as
// an author edits it.
package weather

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

const edition = 0 // what the benchmark edits

// reading is what a station sends.
type reading struct {
	Station string  `json:"station"`
	Celsius float64 `json:"celsius"`
	Wind    float64 `json:"wind"` // m/s
}

var errStation = errors.New("no station named")

type feeling int

const (
	mild feeling = iota
	cold
	hot
)

func (f feeling) String() string { return [...]string{"mild", "cold", "hot"}[f] }

// feels takes the wind into account.
func (r reading) feels() feeling {
	switch felt := r.Celsius - r.Wind/2; {
	case felt < 5:
		return cold
	case felt > 28:
		return hot
	default:
		return mild
	}
}

// journal keeps the last readings of each station.
type journal map[string][]reading

func (j journal) add(r reading) error {
	if r.Station == "" {
		return errStation
	}
	kept := append(j[r.Station], r)
	if len(kept) > 10 {
		kept = kept[1:]
	}
	j[r.Station] = kept
	return nil
}

func (j journal) mean(station string) float64 {
	var sum float64
	for _, r := range j[station] {
		sum += r.Celsius
	}
	return sum / float64(max(1, len(j[station])))
}

func (j journal) String() string {
	var lines []string
	for station, readings := range j {
		last := readings[len(readings)-1]
		lines = append(lines, fmt.Sprintf("%s: %.1f, mean %.1f, feels %v", station, last.Celsius, j.mean(station), last.feels()))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func Run(ctx context.Context, agent *coma.Agent) error {
	agent.Log("running " + strconv.FormatInt(time.Now().UnixNano(), 10))
	agent.Logger().Debug("weather", "edition", edition)
	j := journal{}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		var r reading
		if err := json.Unmarshal([]byte(msg.Text), &r); err != nil {
			agent.Log("unreadable:", msg.Text)
			continue
		}
		if err := j.add(r); errors.Is(err, errStation) {
			agent.Log("whose is this?", msg.Text)
			continue
		}
		agent.Print(j, "\n")
	}
}
