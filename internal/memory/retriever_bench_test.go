package memory

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// BenchmarkRetrieve asks each retriever for 10 of 100,000 records of 384 dimensions.
func BenchmarkRetrieve(b *testing.B) {
	s := open(b, temp(b), Options{})
	random := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		records := make([]api.Record, 1000)
		for i := range records {
			records[i] = api.Record{Vector: anyVector(random, 384), Time: start.Add(time.Duration(random.IntN(1e6)) * time.Second), Metadata: api.Metadata{"importance": random.IntN(10)}}
		}
		add(b, s, records...)
	}
	q := api.Query{Vector: anyVector(random, 384), K: 10}
	for _, all := range []bool{false, true} {
		b.Run(fmt.Sprint("time-weighted/all=", all), func(b *testing.B) {
			benchmarkRetrieve(b, s, api.Retrieval{Query: q, TimeWeighted: &api.TimeWeighted{Decay: 1e-6, All: all}})
		})
		b.Run(fmt.Sprint("alpha-beta/all=", all), func(b *testing.B) {
			benchmarkRetrieve(b, s, api.Retrieval{Query: q, AlphaBeta: &api.AlphaBeta{Alpha: 10, Beta: -3, Pi: 0.5, All: all}})
		})
	}
	b.Run("marginal relevance", func(b *testing.B) {
		benchmarkRetrieve(b, s, api.Retrieval{Query: q, MarginalRelevance: &api.MarginalRelevance{HalfLife: 24 * time.Hour, Importance: "importance"}})
	})
}

func benchmarkRetrieve(b *testing.B, s *Store, r api.Retrieval) {
	for b.Loop() {
		if matches, err := s.Retrieve(b.Context(), r); err != nil || len(matches) != 10 {
			b.Fatal(len(matches), err)
		}
	}
}
