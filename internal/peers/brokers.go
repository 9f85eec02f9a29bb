//go:build unix

package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Test is what of a *testing.T the brokers need; a benchmark that is a program brings its own.
type Test interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Context() context.Context
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// BrokerOptions say how a broker is started. The zero value is one on a free port of loopback that lets in everybody and
// keeps what it has on disk.
type BrokerOptions struct {
	Host string // to listen on; "": 127.0.0.1
	Port int    // 0: a free one, which a restart keeps
	// Prefix goes before the broker's command: "ip", "netns", "exec" and a name, to run it in a network namespace.
	Prefix []string
	// Config is added to the broker's own configuration file. (Not for NATS, whose options are Go values.)
	Config         string
	User, Password string // that clients must give; "": none
	// CA, Cert and Key are PEM files: the broker speaks TLS. With CA it asks for its clients' certificates. (Mosquitto alone.)
	CA, Cert, Key string
	WebSocket     bool // speaks MQTT over WebSocket. (Mosquitto alone.)
}

// Broker is an MQTT broker that runs, in a folder of its own, until the test ends.
type Broker struct {
	Kind string // mosquitto, nats, rabbitmq

	test    Test
	opt     BrokerOptions
	run     func() error // starts it
	end     func(kill bool)
	running bool
}

// Port is where it listens, also while it does not run.
func (b *Broker) Port() int { return b.opt.Port }

// Addr is host:port.
func (b *Broker) Addr() string { return net.JoinHostPort(b.opt.Host, strconv.Itoa(b.opt.Port)) }

// URL is the broker's address with user and password.
func (b *Broker) URL() string {
	scheme, user := "mqtt", ""
	switch {
	case b.opt.WebSocket && b.opt.Cert != "":
		scheme = "wss"
	case b.opt.WebSocket:
		scheme = "ws"
	case b.opt.Cert != "":
		scheme = "mqtts"
	}
	if b.opt.User != "" {
		user = b.opt.User + ":" + b.opt.Password + "@"
	}
	return scheme + "://" + user + b.Addr()
}

// Start starts it again after Stop or Kill, and returns when it listens.
func (b *Broker) Start() {
	b.test.Helper()
	if err := b.run(); err != nil {
		b.test.Fatalf("start %s: %v", b.Kind, err)
	}
	b.running = true
	if err := b.await(); err != nil {
		b.test.Fatalf("start %s: %v", b.Kind, err)
	}
}

// Stop ends it in peace.
func (b *Broker) Stop() { b.halt(false) }

// Kill ends it as a crash does: by SIGKILL.
func (b *Broker) Kill() { b.halt(true) }

func (b *Broker) halt(kill bool) {
	if b.running {
		b.running = false
		b.end(kill)
	}
}

// await waits until it listens.
func (b *Broker) await() error {
	ctx, cancel := context.WithTimeout(b.test.Context(), time.Minute)
	defer cancel()
	for {
		if b.answers(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on %s", b.Addr())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (b *Broker) answers(ctx context.Context) bool {
	if len(b.opt.Prefix) > 0 {
		probe := append(b.opt.Prefix[1:len(b.opt.Prefix):len(b.opt.Prefix)], "bash", "-c", fmt.Sprintf("</dev/tcp/%s/%d", b.opt.Host, b.opt.Port))
		return exec.CommandContext(ctx, b.opt.Prefix[0], probe...).Run() == nil
	}
	conn, err := net.DialTimeout("tcp", b.Addr(), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func newBroker(t Test, kind string, opt BrokerOptions) *Broker {
	t.Helper()
	if opt.Host == "" {
		opt.Host = "127.0.0.1"
	}
	if opt.Port == 0 {
		opt.Port = freePort(t)
	}
	return &Broker{Kind: kind, test: t, opt: opt}
}

// freePort returns a port that was free a moment ago.
func freePort(t Test) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// process makes b a process: command gives its command line, which leads a process group of its own.
func (b *Broker) process(command func() *exec.Cmd, output string) {
	var cmd *exec.Cmd
	b.run = func() error {
		cmd = command()
		if len(b.opt.Prefix) > 0 {
			with := append(append([]string{}, b.opt.Prefix...), cmd.Args...)
			prefixed := exec.Command(with[0], with[1:]...)
			prefixed.Env, prefixed.Dir = cmd.Env, cmd.Dir
			cmd = prefixed
		}
		log, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = ownGroup()
		return cmd.Start()
	}
	b.end = func(kill bool) {
		signal := syscall.SIGTERM
		if kill {
			signal = syscall.SIGKILL
		}
		syscall.Kill(-cmd.Process.Pid, signal)
		late := time.AfterFunc(20*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		cmd.Wait()
		late.Stop()
	}
	b.test.Cleanup(b.Kill)
}

// Mosquitto starts Mosquitto. What it has is saved to disk at each change, as far as a second's autosave interval lets it.
func Mosquitto(t Test, opt BrokerOptions) *Broker {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		t.Skipf("no Mosquitto here: apt install mosquitto (%v)", err)
	}
	b := newBroker(t, "mosquitto", opt)
	dir := t.TempDir()
	config := []string{
		fmt.Sprintf("listener %d %s", b.opt.Port, b.opt.Host),
		"persistence true", "persistence_location " + dir + "/", "autosave_on_changes true", "autosave_interval 1",
		"max_queued_messages 0", "log_type error", "log_type warning", "log_type notice",
	}
	if os.Getuid() == 0 {
		config = append(config, "user root")
	}
	if opt.User == "" {
		config = append(config, "allow_anonymous true")
	} else {
		passwords := filepath.Join(dir, "passwords")
		if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, opt.User, opt.Password).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v: %s", err, out)
		}
		config = append(config, "password_file "+passwords)
	}
	if opt.Cert != "" {
		config = append(config, "certfile "+opt.Cert, "keyfile "+opt.Key)
	}
	if opt.CA != "" {
		config = append(config, "cafile "+opt.CA, "require_certificate true")
	}
	if opt.WebSocket {
		// Mosquitto 2.0.11 does not start without another listener.
		config = append(config, "protocol websockets", fmt.Sprintf("listener %d 127.0.0.1", freePort(t)))
	}
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(strings.Join(append(config, opt.Config), "\n")+"\n"), 0o600); err != nil {
		t.Fatalf("configure Mosquitto: %v", err)
	}
	b.process(func() *exec.Cmd { return exec.Command(path, "-c", file) }, filepath.Join(dir, "log"))
	b.Start()
	return b
}

// RabbitMQ starts RabbitMQ with its MQTT plugin, with a node name, ports and folders of its own. It takes some seconds.
func RabbitMQ(t Test, opt BrokerOptions) *Broker {
	t.Helper()
	home, err := rabbitHome()
	if err != nil {
		t.Skipf("no RabbitMQ here: %v", err)
	}
	b := newBroker(t, "rabbitmq", opt)
	// Not t.TempDir: RabbitMQ makes file names of it that must not become too long.
	dir, err := os.MkdirTemp("", "rabbit")
	if err != nil {
		t.Fatalf("start RabbitMQ: %v", err)
	}
	user, password := opt.User, opt.Password
	config := []string{
		"listeners.tcp.default = 127.0.0.1:" + strconv.Itoa(freePort(t)),
		fmt.Sprintf("mqtt.listeners.tcp.1 = %s:%d", b.opt.Host, b.opt.Port),
		"disk_free_limit.absolute = 1MB", "vm_memory_high_watermark.relative = 0.8",
		"log.console = false", "log.file.level = warning",
	}
	if user == "" {
		user, password = "guest", "guest"
		config = append(config, "mqtt.allow_anonymous = true", "mqtt.default_user = guest", "mqtt.default_pass = guest", "loopback_users = none")
	} else {
		config = append(config, "mqtt.allow_anonymous = false", "loopback_users = none")
	}
	config = append(config, "default_user = "+user, "default_pass = "+password, opt.Config)
	epmd := strconv.Itoa(freePort(t))
	environment := append(os.Environ(),
		"HOME="+dir, fmt.Sprintf("RABBITMQ_NODENAME=coma%d@localhost", b.opt.Port), "RABBITMQ_BASE="+dir,
		"RABBITMQ_MNESIA_BASE="+dir+"/mnesia", "RABBITMQ_LOG_BASE="+dir+"/log", "RABBITMQ_CONFIG_FILE="+dir+"/rabbitmq.conf",
		"RABBITMQ_ENABLED_PLUGINS_FILE="+dir+"/plugins", "RABBITMQ_PID_FILE="+dir+"/pid", "RABBITMQ_CONF_ENV_FILE="+dir+"/none",
		"RABBITMQ_DIST_PORT="+strconv.Itoa(freePort(t)), "ERL_EPMD_PORT="+epmd, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_RELAXED_COMMAND_CHECK=true",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +sbwt none",
	)
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "rabbitmq.conf"), []byte(strings.Join(config, "\n")+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "plugins"), []byte("[rabbitmq_mqtt].\n"), 0o600),
	)
	if err != nil {
		t.Fatalf("configure RabbitMQ: %v", err)
	}
	t.Cleanup(func() {
		// The name server that Erlang has started for this node alone.
		stop := exec.Command("epmd", "-port", epmd, "-kill")
		stop.Env = environment
		if out, err := stop.CombinedOutput(); err != nil {
			t.Logf("epmd -kill: %v: %s", err, out)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("remove RabbitMQ's folder: %v", err)
		}
	})
	b.process(func() *exec.Cmd {
		cmd := exec.Command(filepath.Join(home, "rabbitmq-server"))
		cmd.Env, cmd.Dir = environment, dir
		return cmd
	}, filepath.Join(dir, "output"))
	b.Start()
	return b
}

// rabbitHome returns the folder of RabbitMQ's own scripts. Debian's in /usr/sbin change the user and need root.
func rabbitHome() (string, error) {
	found, err := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin")
	if err != nil || len(found) == 0 {
		return "", errors.New("no rabbitmq_server in /usr/lib/rabbitmq/lib: apt install rabbitmq-server")
	}
	if _, err := exec.LookPath("epmd"); err != nil {
		return "", fmt.Errorf("no Erlang: %w", err)
	}
	return found[len(found)-1], nil
}
