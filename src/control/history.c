/* SPDX-License-Identifier: MIT
 *
 * The history of the outgoing migration (godwit/history.h): godwit's own command, as QMP has none.
 */
#include "control/internal.h"
#include "godwit/history.h"

static json_t *sample(const struct gw_sample *s)
{
    json_t *o = json_object();
    bool bad = gw_json_put_int(o, "at-us", s->at_ns / 1000);

    bad |= gw_json_put_int(o, "transferred", s->transferred_bytes);
    bad |= gw_json_put_int(o, "remaining", s->remaining_bytes);
    bad |= gw_json_put_int(o, "round", s->round);
    bad |= gw_json_put_int(o, "throttle", s->throttle);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *past_round(const struct gw_past_round *r)
{
    json_t *o = json_object();
    bool bad = gw_json_put_int(o, "first", r->first);

    bad |= gw_json_put_int(o, "count", r->count);
    bad |= gw_json_put_int(o, "began-us", r->began_ns / 1000);
    bad |= gw_json_put_int(o, "duration-us", r->duration_ns / 1000);
    bad |= gw_json_put_int(o, "bytes", r->bytes);
    bad |= gw_json_put_int(o, "pages", r->pages);
    bad |= gw_json_put_int(o, "zero-pages", r->zero_pages);
    bad |= gw_json_put_int(o, "remaining", r->remaining_bytes);
    if (r->limit_bytes)
        bad |= gw_json_put_int(o, "limit", r->limit_bytes);
    bad |= gw_json_put_int(o, "dirty-bytes", r->dirty_bytes);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

int gw_cmd_query_history(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    GW_AUTOFREE struct gw_history *h = malloc(sizeof *h);
    json_t *o, *samples, *rounds;
    bool bad, known;

    if (!h)
        return gw_nomem(err, "history of a migration");
    pthread_mutex_lock(&c->sessions);
    known = c->send;
    if (known)
        gw_send_history(c->send, h);
    pthread_mutex_unlock(&c->sessions);
    if (!known)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "no migration was started here");
    o = json_object();
    samples = json_array();
    rounds = json_array();
    bad = !o || !samples || !rounds;
    for (uint32_t i = 0; i < h->samples && !bad; i++)
        bad |= json_array_append_new(samples, sample(&h->sample[i])) != 0;
    for (uint32_t i = 0; i < h->rounds && !bad; i++)
        bad |= json_array_append_new(rounds, past_round(&h->round[i])) != 0;
    if (h->stopped_ns)
        bad |= gw_json_put_int(o, "stopped-us", h->stopped_ns / 1000);
    bad |= gw_json_put(o, "samples", samples);
    bad |= gw_json_put(o, "rounds", rounds);
    return gw_json_finish(o, bad, ret_result, err);
}
