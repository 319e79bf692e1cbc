package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokensession/tokensession/integration/backend"
	"github.com/tokensession/tokensession/redis"
)

// A rediss URL is TLS to a server whose certificate is looked at, unless the URL says
// otherwise.
func TestRedisTLS(t *testing.T) {
	backend.SkipExcluded(t, "redis")
	cert, key, roots := certificate(t)
	port := freeRedisPort(t)
	localRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		"--tls-auth-clients", "no")
	url := "rediss://127.0.0.1:" + port

	var unknown x509.UnknownAuthorityError
	if _, err := redis.Open(t.Context(), url, nil); !errors.As(err, &unknown) {
		t.Errorf("Open without the authority's certificate: %v", err)
	}
	trusting := &redis.Options{Client: &goredis.UniversalOptions{TLSConfig: &tls.Config{RootCAs: roots}}}
	for _, s := range []*redis.Store{openRedisWith(t, url, trusting), openRedisWith(t, url+"?skip_verify=true", nil)} {
		createRedis(t, s, "id", "owner", time.Hour)
		if rec, err := s.Get(t.Context(), "id"); err != nil || rec.Owner != "owner" {
			t.Errorf("Get: %+v, %v", rec, err)
		}
		if err := s.Delete(t.Context(), "id"); err != nil {
			t.Error(err)
		}
	}
}

// certificate makes one for 127.0.0.1, signed by itself.
func certificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	return certFile, keyFile, roots
}
