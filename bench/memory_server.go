package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// storeServer is a server of Chroma's HTTP API, in a process of its own.
type storeServer struct {
	name    string
	command func(ctx context.Context, port int) *exec.Cmd
	dir     string // its data
	log     string // file of its output
	port    int
	cmd     *exec.Cmd
	client  http.Client
}

const (
	serverPatience = 2 * time.Minute
	database       = "/api/v2/tenants/default_tenant/databases/default_database"
)

// start returns when the server answers.
func (s *storeServer) start(ctx context.Context) error {
	if s.port == 0 {
		var err error
		if s.port, err = freePort(); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.client.Transport = &http.Transport{MaxIdleConnsPerHost: 64} // a connection for each writer
	s.cmd = s.command(ctx, s.port)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	limited, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	for limited.Err() == nil {
		if err = s.call(limited, http.MethodGet, "/api/v2/heartbeat", nil, nil); err == nil {
			return nil
		}
		time.Sleep(2 * time.Millisecond) // nothing tells when a port is open
	}
	text, _ := os.ReadFile(s.log)
	return errors.Join(fmt.Errorf("%s does not answer: %w\n%s", s.name, err, text), s.stop())
}

// stop asks the server to end, and waits. One that was stopped is left alone.
func (s *storeServer) stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) { // ended by the signal
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	return nil
}

// collection returns a collection's ID.
func (s *storeServer) collection(ctx context.Context, name string) (id string, err error) {
	var answer struct{ ID string }
	err = s.call(ctx, http.MethodGet, database+"/collections/"+name, nil, &answer)
	return answer.ID, err
}

func (s *storeServer) add(ctx context.Context, collection, id string, vector []float32) error {
	return s.call(ctx, http.MethodPost, database+"/collections/"+collection+"/add", map[string]any{
		"ids": []string{id}, "embeddings": [][]float32{vector}, "documents": []string{"A record of a bare client."},
		"metadatas": []map[string]any{{"timestamp": 1.9e9, "level": 3}},
	}, nil)
}

// query asks for the 10 nearest to some vector.
func (s *storeServer) query(ctx context.Context, name string) error {
	id, err := s.collection(ctx, name)
	if err != nil {
		return err
	}
	var answer struct{ IDs [][]string }
	err = s.call(ctx, http.MethodPost, database+"/collections/"+id+"/query", map[string]any{
		"query_embeddings": [][]float32{anyVector(0)}, "n_results": 10, "include": []string{"distances"},
	}, &answer)
	if err == nil && (len(answer.IDs) != 1 || len(answer.IDs[0]) != 10) {
		return fmt.Errorf("%s finds %v", s.name, answer.IDs)
	}
	return err
}

func (s *storeServer) call(ctx context.Context, method, path string, body, answer any) error {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path), reader)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, data)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(data, answer)
}

// freePort finds a port that is free, and the one behind it, too.
func freePort() (int, error) {
	for {
		one, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := one.Addr().(*net.TCPAddr).Port
		next, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		one.Close()
		if err == nil {
			next.Close()
			return port, nil
		}
	}
}
