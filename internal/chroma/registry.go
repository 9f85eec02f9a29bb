package chroma

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// registry knows the tenants and databases beside the default ones. They are kept in a small file, which is read for each
// question: they are asked for when a client connects, and hardly ever changed.
type registry struct {
	path string
	mu   sync.Mutex // held while the file is changed
}

type database struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Tenant string `json:"tenant"`
}

type registered struct {
	Tenants   []string   `json:"tenants"`
	Databases []database `json:"databases"`
}

func (g *registry) read() (registered, error) {
	var known registered
	data, err := os.ReadFile(g.path)
	if err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return known, fmt.Errorf("read tenants and databases: %w", err)
	}
	known.Tenants = append(known.Tenants, defaultTenant)
	known.Databases = append(known.Databases, database{"00000000-0000-0000-0000-000000000000", defaultDatabase, defaultTenant})
	return known, nil
}

func (g *registry) write(known registered) error {
	known.Tenants = slices.DeleteFunc(known.Tenants, func(t string) bool { return t == defaultTenant })
	known.Databases = slices.DeleteFunc(known.Databases, func(d database) bool { return d.Tenant == defaultTenant && d.Name == defaultDatabase })
	data, err := json.MarshalIndent(known, "", "\t")
	if err == nil {
		err = folders.WriteFile(g.path, data)
	}
	if err != nil {
		return fmt.Errorf("write tenants and databases: %w", err)
	}
	return nil
}

func (g *registry) hasTenant(name string) (bool, error) {
	known, err := g.read()
	return slices.Contains(known.Tenants, name), err
}

func (g *registry) addTenant(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, err := g.read()
	if err != nil {
		return err
	}
	if slices.Contains(known.Tenants, name) {
		return exists("Tenant [%s] already exists", name)
	}
	known.Tenants = append(known.Tenants, name)
	return g.write(known)
}

// find returns a database; ok is false where there is none.
func (g *registry) find(tenant, name string) (found database, ok bool, err error) {
	known, err := g.read()
	for _, d := range known.Databases {
		if d.Tenant == tenant && d.Name == name {
			return d, true, err
		}
	}
	return found, false, err
}

// list returns a tenant's databases by name.
func (g *registry) list(tenant string) ([]database, error) {
	known, err := g.read()
	of := slices.DeleteFunc(known.Databases, func(d database) bool { return d.Tenant != tenant })
	slices.SortFunc(of, func(a, b database) int { return strings.Compare(a.Name, b.Name) })
	return of, err
}

func (g *registry) add(tenant, name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, err := g.read()
	if err != nil {
		return err
	}
	for _, d := range known.Databases {
		if d.Tenant == tenant && d.Name == name {
			return exists("Database [%s] already exists", name)
		}
	}
	known.Databases = append(known.Databases, database{newID(), name, tenant})
	return g.write(known)
}

func (g *registry) remove(tenant, name string) error {
	if tenant == defaultTenant && name == defaultDatabase {
		return invalid("Database [%s] cannot be deleted: agents' memories are in it", name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	known, err := g.read()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(known.Databases, func(d database) bool { return d.Tenant == tenant && d.Name == name })
	if i < 0 {
		return notFound("Database [%s] not found", name)
	}
	known.Databases = slices.Delete(known.Databases, i, i+1)
	return g.write(known)
}
