package postgres

import "strings"

// statements are those of a store, with its table in them.
//
// All of them ask clock_timestamp(), which moves on, and not now(), which stands still
// from the beginning of a statement, whatever it waits for.
type statements struct {
	get, settle, list, listOwner, settlePage, count string

	create, update, updateLocked, touch, touchLocked, remove, clear, removeOwner string

	size, reap string
}

func newStatements(table string) statements {
	fill := strings.NewReplacer(
		"{table}", table,
		"{expiry}", "coalesce(clock_timestamp() + $2::interval, 'infinity')",
		"{columns}", "data, raw, owner, version, expires, clock_timestamp()",
		"{locked}", "id = (SELECT id FROM "+table+" WHERE id = $1 FOR UPDATE)",
		// An error is all that undoes an UPDATE here. What RETURNING asks for is computed
		// when the row is locked, and nothing else in these statements divides. 100 ms are
		// more than storing a large record takes.
		"{unless_it_waited}", "RETURNING 1 / (clock_timestamp() < statement_timestamp() + interval '100 ms')::int",
		"{reaper}", "'"+reaperID+"'",
	).Replace

	const (
		update = `UPDATE {table} SET expires = {expiry}, data = $3, raw = $4, owner = $5, version = $6 `
		touch  = `UPDATE {table} SET expires = {expiry} `

		// What precedes a row in its page may have a mebibyte. The length of what is
		// stored out of line costs nothing to know.
		list = `
			SELECT id, {columns} FROM (
				SELECT *, sum(coalesce(octet_length(data), octet_length(raw))) OVER (
					ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
				FROM (SELECT * FROM {table} WHERE id > $1 {only_owner} ORDER BY id LIMIT 128) AS page
			) AS page WHERE before IS NULL OR before < 1 << 20 ORDER BY id`
	)
	return statements{
		get: fill(`SELECT {columns} FROM {table} WHERE id = $1`),

		// The SELECT sees the row that the DELETE removes: both see the table as it was
		// when the statement began.
		settle: fill(`
			WITH dead AS (DELETE FROM {table} WHERE id = $1 AND expires <= clock_timestamp() RETURNING id)
			SELECT (SELECT count(*) FROM dead), expires <= clock_timestamp(), version FROM {table} WHERE id = $1`),

		list:       fill(strings.ReplaceAll(list, "{only_owner}", "")),
		listOwner:  fill(strings.ReplaceAll(list, "{only_owner}", "AND owner = $2 AND owner <> ''")),
		settlePage: fill(`DELETE FROM {table} WHERE id = ANY($1) AND expires <= clock_timestamp()`),
		count:      fill(`SELECT count(*) FROM {table} WHERE expires > clock_timestamp() AND id <> {reaper}`),

		// The row that is there is locked before the WHERE is asked.
		create: fill(`
			INSERT INTO {table} AS found (id, expires, data, raw, owner, version) VALUES ($1, {expiry}, $3, $4, $5, $6)
			ON CONFLICT (id) DO UPDATE
				SET expires = {expiry}, data = $3, raw = $4, owner = $5, version = $6
				WHERE found.expires <= clock_timestamp()`),

		update:       fill(update + `WHERE id = $1 AND version = $7 AND expires > clock_timestamp() {unless_it_waited}`),
		updateLocked: fill(update + `WHERE {locked} AND version = $7 AND expires > clock_timestamp()`),
		touch:        fill(touch + `WHERE id = $1 AND expires > clock_timestamp() {unless_it_waited}`),
		touchLocked:  fill(touch + `WHERE {locked} AND expires > clock_timestamp()`),
		remove:       fill(`DELETE FROM {table} WHERE id = $1`),
		clear:        fill(`DELETE FROM {table}`),
		removeOwner: fill(`
			WITH gone AS (DELETE FROM {table} WHERE owner = $1 AND owner <> '' RETURNING expires > clock_timestamp() AS live)
			SELECT count(*) FILTER (WHERE live) FROM gone`),

		size: `SELECT pg_relation_size('` + strings.ReplaceAll(table, `'`, `''`) + `') / current_setting('block_size')::int`,

		// An array, so that the rows are looked for once, whatever the plan.
		reap: fill(`
			DELETE FROM {table} WHERE expires <= clock_timestamp() AND id = ANY (ARRAY(
				SELECT id FROM {table} WHERE ctid >= $1 AND ctid < $2 AND expires <= clock_timestamp()
				LIMIT $3 FOR UPDATE SKIP LOCKED))`),
	}
}
