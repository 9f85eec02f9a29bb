// Package fusion puts readings of several sensors, each read by a goroutine of its own, together into one estimate.
package fusion

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// reading is one measurement: message text such as {"sensor":"t1","at":3,"value":21.5}.
type reading struct {
	Sensor string  `json:"sensor"`
	At     int     `json:"at"`
	Value  float64 `json:"value"`
	Unit   unit    `json:"unit,omitempty"`
}

type unit string

func (u unit) toCelsius(v float64) (float64, error) {
	switch u {
	case "", "C":
		return v, nil
	case "F":
		return (v - 32) / 1.8, nil
	case "K":
		return v - 273.15, nil
	default:
		return math.NaN(), fmt.Errorf("unit %q: %w", string(u), errUnit)
	}
}

var errUnit = errors.New("not a temperature")

// filter smooths a sensor's values.
type filter interface {
	Add(v float64) (smooth float64)
	Variance() float64
}

// kalman is a filter for a value that drifts slowly.
type kalman struct {
	x, p, q, r float64
	started    bool
}

func (k *kalman) Add(v float64) float64 {
	if !k.started {
		k.x, k.p, k.started = v, 1, true
		return v
	}
	k.p += k.q
	gain := k.p / (k.p + k.r)
	k.x += float64(gain * (v - k.x))
	k.p *= 1 - gain
	return k.x
}

func (k *kalman) Variance() float64 { return k.p }

// window is the median of the last values.
type window struct {
	values []float64
	size   int
}

func (w *window) Add(v float64) float64 {
	w.values = append(w.values, v)
	if len(w.values) > w.size {
		w.values = w.values[1:]
	}
	sorted := slices.Sorted(slices.Values(w.values))
	return sorted[len(sorted)/2]
}

func (w *window) Variance() float64 {
	var sum, squares float64
	for _, v := range w.values {
		sum += v
		squares += float64(v * v)
	}
	n := float64(len(w.values))
	return squares/n - float64(sum/n*(sum/n)) + 0.1
}

// sensor is one goroutine that owns a filter.
type sensor struct {
	name   string
	in     chan reading
	filter filter
	seen   atomic.Int64
	bad    atomic.Int64
}

type smoothed struct {
	sensor   string
	at       int
	value    float64
	variance float64
	err      error
}

func (s *sensor) run(ctx context.Context, out chan<- smoothed) {
	for {
		select {
		case <-ctx.Done():
			return
		case r, ok := <-s.in:
			if !ok {
				return
			}
			s.seen.Add(1)
			result := smoothed{sensor: s.name, at: r.At}
			var celsius float64
			if celsius, result.err = r.Unit.toCelsius(r.Value); result.err != nil {
				s.bad.Add(1)
			} else {
				result.value = s.filter.Add(celsius)
				result.variance = s.filter.Variance()
			}
			select {
			case out <- result:
			case <-ctx.Done():
				return
			}
		}
	}
}

// fuser owns the sensors and the estimate.
type fuser struct {
	ctx     context.Context
	wg      sync.WaitGroup
	sensors map[string]*sensor
	out     chan smoothed
	last    map[string]smoothed
}

func (f *fuser) sensor(name string) *sensor {
	if s := f.sensors[name]; s != nil {
		return s
	}
	s := &sensor{name: name, in: make(chan reading, 4)}
	switch {
	case strings.HasPrefix(name, "w"):
		s.filter = &window{size: 3}
	default:
		s.filter = &kalman{q: 0.01, r: 0.5}
	}
	f.sensors[name] = s
	f.wg.Go(func() { s.run(f.ctx, f.out) })
	return s
}

// feed gives all readings to their sensors at the same time, and waits for what comes out.
func (f *fuser) feed(readings []reading) (errs []error) {
	for _, r := range readings {
		f.sensor(r.Sensor)
	}
	bySensor := map[string][]reading{}
	for _, r := range readings {
		bySensor[r.Sensor] = append(bySensor[r.Sensor], r)
	}
	for name, rs := range bySensor {
		go func() {
			for _, r := range rs {
				f.sensors[name].in <- r
			}
		}()
	}
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for range readings {
		select {
		case s := <-f.out:
			if s.err != nil {
				errs = append(errs, fmt.Errorf("%s at %d: %w", s.sensor, s.at, s.err))
				continue
			}
			if before, ok := f.last[s.sensor]; !ok || before.at <= s.at {
				f.last[s.sensor] = s
			}
		case <-timeout.C:
			return append(errs, context.DeadlineExceeded)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errs
}

// estimate weighs the sensors by how sure they are.
func (f *fuser) estimate() (value, confidence float64) {
	names := make([]string, 0, len(f.last))
	for name := range f.last {
		names = append(names, name)
	}
	slices.Sort(names)
	var weights float64
	for _, name := range names {
		s := f.last[name]
		w := 1 / max(s.variance, 1e-6)
		value += float64(w * s.value)
		weights += w
	}
	if weights == 0 {
		return math.NaN(), 0
	}
	return value / weights, 1 - 1/(1+weights)
}

func Run(ctx context.Context, agent *coma.Agent) error {
	inner, cancel := context.WithCancel(ctx)
	f := &fuser{ctx: inner, sensors: map[string]*sensor{}, out: make(chan smoothed), last: map[string]smoothed{}}
	defer f.wg.Wait()
	defer cancel()
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if err := agent.Send(ctx, "out", f.answer(msg)); err != nil {
			return err
		}
	}
}

func (f *fuser) answer(msg coma.Message) string {
	if msg.Text == "status" {
		var lines []string
		for name, s := range f.sensors {
			lines = append(lines, fmt.Sprintf("%s: %T seen %d bad %d", name, s.filter, s.seen.Load(), s.bad.Load()))
		}
		slices.Sort(lines)
		return strings.Join(append([]string{"status"}, lines...), "\n")
	}
	var readings []reading
	if err := msg.Decode(&readings); err != nil {
		var syntax *json.SyntaxError
		return fmt.Sprint("unreadable; syntax: ", errors.As(err, &syntax))
	}
	errs := f.feed(readings)
	value, confidence := f.estimate()
	answer := fmt.Sprintf("%.6f ±%.4f", value, confidence)
	if err := errors.Join(errs...); err != nil {
		answer += fmt.Sprintf("\n%v\nunits: %t", err, errors.Is(err, errUnit))
	}
	return answer
}
