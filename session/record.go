package session

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// header is the first line of a record; the codec's bytes follow it.
//
//	ts1 created=1763869020123 epoch=0 secret=JkP…43 characters…\n{"Views":1}
//
// Each token that is in the grace of a Renew, the oldest first, adds its end, its
// secret's hash and the nonce of its successor to the line:
//
//	former=1763869080123:Zr0…43 characters…:x9Q…22 characters…
type header struct {
	created int64    // Unix time in milliseconds, from which Lifetime counts
	epoch   uint64   // how often every token given away before was ended at once
	secret  digest   // of the secret that opens the session
	formers []former // never modified, since copies of a header share it
}

const format = "ts1"

var errRecord = errors.New("not a session record")

func (h *header) appendTo(b []byte) []byte {
	b = append(b, format+" created="...)
	b = strconv.AppendInt(b, h.created, 10)
	b = append(b, " epoch="...)
	b = strconv.AppendUint(b, h.epoch, 10)
	b = append(b, " secret="...)
	b = base64url.AppendEncode(b, h.secret[:])
	for i := range h.formers {
		f := &h.formers[i]
		b = append(b, " former="...)
		b = strconv.AppendInt(b, f.end, 10)
		b = append(b, ':')
		b = base64url.AppendEncode(b, f.secret[:])
		b = append(b, ':')
		b = base64url.AppendEncode(b, f.nonce[:])
	}
	return append(b, '\n')
}

// These are more than the parts of a header can be long.
const (
	maxPlainLen  = 160
	maxFormerLen = 100
	maxHeaderLen = maxPlainLen + maxFormers*maxFormerLen
)

// parseRecord takes a record apart. The payload is part of data.
func parseRecord(data []byte) (h header, payload []byte, err error) {
	line := data[:min(len(data), maxHeaderLen)]
	end := bytes.IndexByte(line, '\n')
	if end < 0 {
		return h, nil, fmt.Errorf("%w: it has no first line", errRecord)
	}
	name, rest, _ := bytes.Cut(line[:end], space)
	if string(name) != format {
		return h, nil, fmt.Errorf("%w: its format is not %s; a newer version of this package may have written it", errRecord, format)
	}
	created, rest, ok1 := cutField(rest, "created=")
	epoch, rest, ok2 := cutField(rest, "epoch=")
	secret, rest, ok3 := cutField(rest, "secret=")
	if !ok1 || !ok2 || !ok3 {
		return h, nil, fmt.Errorf("%w: its first line is malformed", errRecord)
	}
	if h.created, err = parseMillis(created); err != nil {
		return h, nil, err
	}
	h.epoch, err = strconv.ParseUint(string(epoch), 10, 64)
	if err != nil {
		return h, nil, fmt.Errorf("%w: its epoch is malformed", errRecord)
	}
	if err := decodeExactly(h.secret[:], secret); err != nil {
		return h, nil, err
	}
	for len(rest) > 0 {
		var f former
		if f, rest, err = cutFormer(rest); err != nil {
			return h, nil, err
		}
		h.formers = append(h.formers, f)
	}
	if len(h.formers) > maxFormers {
		return h, nil, fmt.Errorf("%w: it has %d former tokens; there are at most %d", errRecord, len(h.formers), maxFormers)
	}
	if !isNumber(epoch) || line[end-1] == ' ' {
		return h, nil, fmt.Errorf("%w: its first line is not as this package writes it", errRecord)
	}
	return h, data[end+1:], nil
}

// cutFormer takes the first field, which must be a former token.
func cutFormer(line []byte) (f former, rest []byte, err error) {
	value, rest, _ := cutField(line, "former=")
	parts := bytes.Split(value, colon)
	if len(parts) != 3 {
		return f, nil, fmt.Errorf("%w: its first line is malformed", errRecord)
	}
	f.end, err = parseMillis(parts[0])
	if err == nil {
		err = decodeExactly(f.secret[:], parts[1])
	}
	if err == nil {
		err = decodeExactly(f.nonce[:], parts[2])
	}
	return f, rest, err
}

func parseMillis(text []byte) (int64, error) {
	millis, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || millis < 0 || millis > maxMillis || !isNumber(text) {
		return 0, fmt.Errorf("%w: a time in it is malformed", errRecord)
	}
	return millis, nil
}

// decodeExactly fills dst. A decoder skips CR, so that it may end early.
func decodeExactly(dst, text []byte) error {
	if len(text) == base64url.EncodedLen(len(dst)) {
		if n, err := strictBase64.Decode(dst, text); err == nil && n == len(dst) {
			return nil
		}
	}
	return fmt.Errorf("%w: a secret in it is malformed", errRecord)
}

// isNumber reports whether digits that strconv has read are what it writes: without a sign
// or leading zeros.
func isNumber(digits []byte) bool {
	return '1' <= digits[0] && digits[0] <= '9' || len(digits) == 1
}

// maxMillis keeps times within what nanoseconds can be counted to: the year 2200.
var maxMillis = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

var (
	strictBase64 = base64url.Strict()
	space        = []byte(" ")
	colon        = []byte(":")
)

// cutField takes the value of the first field, which must have this prefix.
func cutField(line []byte, prefix string) (value, rest []byte, ok bool) {
	value, rest, _ = bytes.Cut(line, space)
	if len(value) < len(prefix) || string(value[:len(prefix)]) != prefix {
		return nil, nil, false
	}
	return value[len(prefix):], rest, true
}
