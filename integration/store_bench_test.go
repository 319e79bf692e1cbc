package integration

import (
	"testing"

	"github.com/tokensession/tokensession"
	"github.com/tokensession/tokensession/integration/backend"
)

// BenchmarkStore runs the benchmarks of the suite on each server. Their names are those of
// BenchmarkStore in memory and bolt, so that benchstat compares all drivers.
func BenchmarkStore(b *testing.B) {
	b.Run("driver=redis", func(b *testing.B) {
		redisSuite(backend.Redis(b).URL).RunBenchmarks(b)
	})
	b.Run("driver=postgres", func(b *testing.B) {
		url := backend.Postgres(b).URL
		postgresSuite(func(tb testing.TB, table string) tokensession.Store {
			return openPostgres(tb, url, "table", table)
		}).RunBenchmarks(b)
	})
	b.Run("driver=memcache", func(b *testing.B) {
		url := backend.Memcached(b).URL
		memcacheSuite(func(tb testing.TB, prefix string) tokensession.Store {
			return openMemcache(tb, url, prefix)
		}).RunBenchmarks(b)
	})
}
