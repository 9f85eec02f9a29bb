//go:build unix

package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsVariable has this program be a NATS server, with the natsOptions that are its value (JSON).
const natsVariable = "COMA_PEERS_NATS"

type natsOptions struct {
	Dir            string // of what it keeps
	Host           string
	Port           int
	User, Password string
}

// NATS starts a NATS server with JetStream and MQTT. There is none to install: it is this program once more, in a process of
// its own, whose main, or TestMain, calls BeNATS first.
func NATS(t Test, opt BrokerOptions) *Broker {
	t.Helper()
	b := newBroker(t, "nats", opt)
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatalf("start NATS: %v", err)
	}
	options, err := json.Marshal(natsOptions{Dir: filepath.Join(dir, "store"), Host: b.opt.Host, Port: b.opt.Port, User: opt.User, Password: opt.Password})
	if err != nil {
		t.Fatalf("start NATS: %v", err)
	}
	b.process(func() *exec.Cmd {
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), natsVariable+"="+string(options))
		return cmd
	}, filepath.Join(dir, "output"))
	b.Start()
	return b
}

// BeNATS does nothing, unless NATS has started this process to be the server: then it is that until SIGTERM, and ends the
// process.
func BeNATS() {
	text := os.Getenv(natsVariable)
	if text == "" {
		return
	}
	if err := beNATS(text); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func beNATS(text string) error {
	var opt natsOptions
	if err := json.Unmarshal([]byte(text), &opt); err != nil {
		return err
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	s, err := server.NewServer(&server.Options{
		ServerName: "coma", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: opt.Dir, NoSystemAccount: true,
		MQTT:     server.MQTTOpts{Host: opt.Host, Port: opt.Port},
		Username: opt.User, Password: opt.Password,
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		return errors.New("it does not get ready")
	}
	<-term
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
