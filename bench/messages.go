package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// messages measures round trips and throughput between two modules, beside other ways to talk, with 100-byte messages.
func (b *bench) messages() error {
	roundTrip := map[string]float64{}
	rate := map[string]float64{}
	for _, isolation := range []string{"process", "none"} {
		p50, err := b.result("roundtrip", "p50_us", isolation, nil)
		if err != nil {
			return err
		}
		roundTrip[isolation] = p50
		for _, senders := range []string{"1", "16"} {
			rate[isolation+senders], err = b.result("flood", "per_second", isolation, []string{"SENDERS=" + senders, "MESSAGES=200000"})
			if err != nil {
				return err
			}
		}
	}
	roundTrip["channel"], rate["channel"] = channel()
	var err error
	if roundTrip["relay"], rate["relay"], err = b.limit(); err != nil {
		return err
	}
	stop, address, err := mosquitto(b)
	if err != nil {
		b.row("mosquitto", "not measured", err.Error())
	} else {
		defer stop()
		for qos := range byte(3) {
			key := fmt.Sprint("mosquitto", qos)
			if roundTrip[key], rate[key], err = paho(address, qos); err != nil {
				return err
			}
		}
		if roundTrip["python"], _, rate["python"], err = b.framework(address); err != nil {
			b.row("mosquitto + paho-mqtt (Python), QoS 2", "not measured", err.Error())
		}
	}
	aims := map[string]string{"process": "aim 100 µs", "none": "aim 5 µs"}
	for _, way := range []struct{ key, name string }{
		{"process", "two modules, a process each"}, {"none", "two modules, isolation none"}, {"channel", "two goroutines, a Go channel"},
		{"relay", "the limit: three bare processes, unix sockets, no content"},
		{"mosquitto0", "mosquitto + paho.mqtt.golang, QoS 0"}, {"mosquitto1", "mosquitto + paho.mqtt.golang, QoS 1"},
		{"mosquitto2", "mosquitto + paho.mqtt.golang, QoS 2"}, {"python", "mosquitto + paho-mqtt (Python), QoS 2: the Python framework's way"},
	} {
		if v := roundTrip[way.key]; v > 0 {
			b.row("round trip p50: "+way.name, fmt.Sprintf("%.1f µs", v), note(aims[way.key], ratio(v/roundTrip["process"])))
		}
	}
	for _, way := range []struct{ key, name, aim string }{
		{"process1", "two modules, a process each, 1 sender", ""}, {"process16", "two modules, a process each, 16 senders", "aim 50,000"},
		{"none1", "two modules, isolation none, 1 sender", "aim 500,000"}, {"none16", "two modules, isolation none, 16 senders", ""},
		{"channel", "two goroutines, a Go channel", ""}, {"relay", "the limit: three bare processes, 16 senders", ""},
		{"mosquitto0", "mosquitto + paho.mqtt.golang, QoS 0", ""}, {"mosquitto1", "mosquitto + paho.mqtt.golang, QoS 1", ""},
		{"mosquitto2", "mosquitto + paho.mqtt.golang, QoS 2", ""}, {"python", "mosquitto + paho-mqtt (Python), QoS 2", ""},
	} {
		if v := rate[way.key]; v > 0 {
			b.row("messages/s: "+way.name, fmt.Sprintf("%.0f", v), note(way.aim, ratio(v/rate["process16"])))
		}
	}
	return nil
}

func ratio(r float64) string { return fmt.Sprintf("%.2f × two processes", r) }

func note(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "; ")
}

// result runs a project until a module logs its result.
func (b *bench) result(project, key, isolation string, env []string) (float64, error) {
	a, err := b.run(env, "--no-watch", "--isolation", isolation, filepath.Join("bench", "projects", project))
	if err != nil {
		return 0, err
	}
	l, err := a.wait(isResult)
	if err := errors.Join(err, a.stop()); err != nil {
		return 0, err
	}
	return l.number(key)
}

// channel is the physical limit: two goroutines and unbuffered (round trip) or buffered channels.
func channel() (microseconds, perSecond float64) {
	const n = 200_000
	there, back := make(chan string), make(chan string)
	go func() {
		for s := range there {
			back <- s
		}
	}()
	times := make([]float64, n)
	for i := range times {
		start := time.Now()
		there <- "ping"
		<-back
		times[i] = float64(time.Since(start).Nanoseconds()) / 1000
	}
	close(there)
	queue := make(chan string, 1000)
	text := strings.Repeat("x", 100)
	go func() {
		for range 10 * n {
			queue <- text
		}
		close(queue)
	}()
	start := time.Now()
	for range queue {
	}
	return median(times), 10 * n / time.Since(start).Seconds()
}

// mosquitto starts the broker on a free port of loopback.
func mosquitto(b *bench) (stop func(), address string, err error) {
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			return nil, "", errors.New("mosquitto is not installed (apt-get install mosquitto)")
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, "", err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", err
	}
	conf := filepath.Join(b.dir, "mosquitto.conf")
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(b.ctx, path, "-c", conf)
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return stop, address, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	return nil, "", errors.New("mosquitto does not answer")
}

// paho measures two Go clients at a broker.
func paho(address string, qos byte) (microseconds, perSecond float64, err error) {
	connect := func(id string) (mqtt.Client, error) {
		opt := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID(id).SetOrderMatters(true)
		c := mqtt.NewClient(opt)
		t := c.Connect()
		t.Wait()
		return c, t.Error()
	}
	x, err := connect("bench-x")
	if err != nil {
		return 0, 0, err
	}
	defer x.Disconnect(0)
	y, err := connect("bench-y")
	if err != nil {
		return 0, 0, err
	}
	defer y.Disconnect(0)
	back := make(chan struct{}, 1)
	subscribe := func(c mqtt.Client, topic string, f mqtt.MessageHandler) error {
		t := c.Subscribe(topic, qos, f)
		t.Wait()
		return t.Error()
	}
	if err := subscribe(y, "there", func(c mqtt.Client, m mqtt.Message) { c.Publish("back", qos, false, m.Payload()) }); err != nil {
		return 0, 0, err
	}
	if err := subscribe(x, "back", func(mqtt.Client, mqtt.Message) { back <- struct{}{} }); err != nil {
		return 0, 0, err
	}
	var times []float64
	for i := range 3000 {
		start := time.Now()
		x.Publish("there", qos, false, "ping")
		<-back
		if i >= 1000 {
			times = append(times, float64(time.Since(start).Nanoseconds())/1000)
		}
	}
	const n = 30_000
	done := make(chan time.Duration, 1)
	var began time.Time
	got := 0
	err = subscribe(y, "flood", func(mqtt.Client, mqtt.Message) {
		if got++; got == 1 {
			began = time.Now()
		} else if got == n {
			done <- time.Since(began)
		}
	})
	if err != nil {
		return 0, 0, err
	}
	text := strings.Repeat("x", 100)
	for range n {
		x.Publish("flood", qos, false, text)
	}
	select {
	case took := <-done:
		return median(times), (n - 1) / took.Seconds(), nil
	case <-time.After(time.Minute):
		return median(times), 0, nil // with QoS 0 some may be dropped on the way
	}
}
