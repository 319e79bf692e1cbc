package session

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestHeader(t *testing.T) {
	cred := newCredential("staff")
	h := header{created: time.Now().UnixMilli(), epoch: 1<<64 - 1, secret: cred.secret}
	plain := string(h.appendTo(nil))
	if len(plain) > maxPlainLen || strings.Contains(plain, "former") {
		t.Errorf("%d bytes: %s", len(plain), plain)
	}
	for range maxFormers {
		cred = h.renew("staff", &cred, maxGrace, time.UnixMilli(maxMillis-maxGrace.Milliseconds()))
	}
	line := string(h.appendTo(nil))
	if (len(line)-len(plain))/maxFormers > maxFormerLen || strings.Count(line, " former=") != maxFormers {
		t.Errorf("%d bytes, then %d: %s", len(plain), len(line), line)
	}
	got, payload, err := parseRecord([]byte(line + "payload\n"))
	if err != nil || !reflect.DeepEqual(got, h) || string(payload) != "payload\n" {
		t.Errorf("%v\ngot  %+v %q\nwant %+v", err, got, payload, h)
	}

	line, former, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " former=")
	former, _, _ = strings.Cut(former, " ")
	end, rest, _ := strings.Cut(former, ":")
	for what, bad := range map[string]string{
		"a ninth":         line + strings.Repeat(" former="+former, maxFormers+1),
		"an unknown name": line + " later=" + former,
		"no name":         line + " " + former,
		"no value":        line + " former=",
		"two spaces":      line + "  former=" + former,
		"a part more":     line + " former=" + former + ":x",
		"a part less":     line + " former=" + end,
		"no end":          line + " former=:" + rest,
		"a negative end":  line + " former=-" + former,
		"a late end":      line + " former=9" + former,
		"a short hash":    line + " former=" + end + ":" + rest[1:],
		"a short nonce":   line + " former=" + former[:len(former)-1],
		"a long nonce":    line + " former=" + former + "A",
		"another base64":  line + " former=" + former[:len(former)-1] + "+",
	} {
		if _, _, err := parseRecord([]byte(bad + "\n{}")); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFind(t *testing.T) {
	cred := newCredential("")
	h := header{secret: cred.secret}
	secrets := []digest{cred.secret}
	for range maxFormers {
		cred = h.renew("", &cred, time.Minute, time.Now())
		secrets = append(secrets, cred.secret)
	}
	for want, secret := range secrets {
		if got := h.find(&secret); got != want {
			t.Errorf("secret %d is taken for %d", want, got)
		}
		for i := range secret {
			wrong := secret
			wrong[i] ^= 0x80
			if got := h.find(&wrong); got != -1 {
				t.Errorf("secret %d with byte %d wrong is taken for %d", want, i, got)
			}
		}
	}
}

// The successor depends on all that it is made of, and on nothing else.
func TestSuccessor(t *testing.T) {
	cred, other := newCredential("staff"), newCredential("staff")
	var nonce, otherNonce [nonceBytes]byte
	otherNonce[nonceBytes-1] = 1
	otherID := cred
	otherID.id = other.id
	want := cred.successor("staff", &nonce)
	if again := cred.successor("staff", &nonce); again != want || !isServerToken(want.token) || want.id != cred.id {
		t.Errorf("the second time it is another, or none: %v", again != want)
	}
	for what, got := range map[string]credential{
		"name":   cred.successor("customers", &nonce),
		"nonce":  cred.successor("staff", &otherNonce),
		"id":     otherID.successor("staff", &nonce),
		"secret": other.successor("staff", &nonce),
		"itself": cred,
	} {
		if got.text() == want.text() {
			t.Errorf("with another %s it is the same", what)
		}
	}
	if parsed, ok := parseToken("staff", want.token, minTokenLen); !ok || parsed != want {
		t.Error("it does not parse to itself")
	}
}
