// SPDX-License-Identifier: Apache-2.0
// Idempotency keys: a request that is sent again with the same key gets the answer that it had.

#include "agent/idempotency.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "agent/digest.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/state.h"
#include "croft/state/v1/kept.pb-c.h"

#define SCOPE_MAX (AUTH_ACTOR_MAX + IDEMPOTENCY_KEY_MAX + 96) /* of actor, method and key */

/* A key of an actor and a method. */
struct kept_key {
	uint64_t number;	  /* of its answer; 0 while its first request is being answered */
	char request[DIGEST_HEX]; /* of that request */
	char scope[];		  /* its name in the table */
};

static void scope_of(char out[SCOPE_MAX], const char *actor, const char *method, const char *key)
{
	/* No actor and no method has a newline in it. */
	snprintf(out, SCOPE_MAX, "%s\n%s\n%s", actor, method, key);
}

static struct kept_key *key_new(struct table *keys, const char *scope)
{
	struct kept_key *key = calloc(1, sizeof(*key) + strlen(scope) + 1);

	if (!key)
		return NULL;
	strcpy(key->scope, scope);
	if (table_add(keys, key->scope, key) < 0) {
		free(key);
		return NULL;
	}
	return key;
}

static void key_forget(struct table *keys, struct kept_key *key)
{
	table_remove(keys, key->scope);
	free(key);
}

/* What makes two requests the same: their fields, and the revision that they want. */
static int digest_request(char out[DIGEST_HEX], const struct call *call, struct error *err)
{
	size_t n = protobuf_c_message_get_packed_size(call->request);
	_cleanup_free_ uint8_t *bytes = malloc(n ? n : 1);
	struct digest *digest = digest_new();
	int r = -ENOMEM;

	if (bytes && digest) {
		protobuf_c_message_pack(call->request, bytes);
		digest_add(digest, bytes, n);
		digest_add(digest, &call->if_match, sizeof(call->if_match));
		r = digest_finish(digest, out);
	}
	digest_free(digest);
	return r < 0 ? error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory") : 0;
}

/* --- The answers that are kept --- */

static Croft__State__V1__KeptAnswer *answer_copy(const struct idempotency *own, uint64_t number)
{
	return ring_copy(&own->answers, number, &croft__state__v1__kept_answer__descriptor);
}

static bool too_old(const Croft__State__V1__KeptAnswer *answer)
{
	return !answer->time || time(NULL) - answer->time->seconds >= IDEMPOTENCY_SECONDS;
}

/* Drops the oldest answer when it has had its time, or in any case; false when it stays. */
static bool drop_oldest(struct service *service, bool in_any_case)
{
	struct idempotency *own = &service->idempotency;
	Croft__State__V1__KeptAnswer *oldest =
		own->answers.count ? answer_copy(own, ring_oldest(&own->answers)) : NULL;
	bool dropped = oldest && (in_any_case || too_old(oldest)) &&
		       ring_drop(&own->answers, service->store) == 0;
	struct kept_key *key;
	char scope[SCOPE_MAX];

	if (dropped) {
		scope_of(scope, oldest->actor, oldest->method, oldest->key);
		key = table_find(&own->keys, scope);
		if (key && key->number && key->number < ring_oldest(&own->answers))
			key_forget(&own->keys, key);
	}
	message_free(oldest);
	return dropped;
}

static int keep(struct service *service, const struct call *call, struct kept_key *key)
{
	struct idempotency *own = &service->idempotency;
	Google__Protobuf__Timestamp now = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Croft__State__V1__KeptAnswer answer = CROFT__STATE__V1__KEPT_ANSWER__INIT;
	size_t n = protobuf_c_message_get_packed_size(call->reply);
	_cleanup_free_ uint8_t *reply = malloc(n ? n : 1);
	int r;

	if (!reply)
		return -ENOMEM;
	protobuf_c_message_pack(call->reply, reply);
	now.seconds = time(NULL);
	answer.time = &now;
	/* protobuf-c has no const strings. */
	answer.actor = (char *)(uintptr_t)call->who.actor;
	answer.method = (char *)(uintptr_t)call->method->name;
	answer.key = (char *)(uintptr_t)call->idempotency_key;
	answer.request_sha256 = key->request;
	answer.reply = (ProtobufCBinaryData){ .len = n, .data = reply };
	while (own->answers.count == own->answers.kept ||
	       (own->answers.count && own->answers.bytes + n > IDEMPOTENCY_BYTES))
		if (!drop_oldest(service, true))
			return -ENOMEM;
	r = ring_add(&own->answers, service->store, &answer.base);
	if (r == 0)
		key->number = own->answers.newest;
	return r;
}

/* --- Calls --- */

/* The answer that the first request had. */
static void replay(struct service *service, struct call *call, uint64_t number)
{
	Croft__State__V1__KeptAnswer *answer = answer_copy(&service->idempotency, number);
	void *reply = answer ? protobuf_c_message_unpack(call->method->reply, NULL,
							 answer->reply.len, answer->reply.data)
			     : NULL;

	message_free(answer);
	call->replayed = true;
	call_reply(service, call, reply);
}

static int check_same(const struct call *call, const struct kept_key *key,
		      const char request[DIGEST_HEX], struct error *err)
{
	if (strcmp(key->request, request) == 0)
		return 0;
	return error_raise_field(err, "Idempotency-Key",
				 "\"%s\" was sent with another request before",
				 call->idempotency_key);
}

/* A request of a key that is known: the same, or another one. */
static void answer_again(struct service *service, struct call *call, const struct kept_key *key,
			 const char request[DIGEST_HEX])
{
	struct error error;
	int r = check_same(call, key, request, &error);

	if (r == 0 && !key->number && call_expired(call))
		r = error_raise(&error, ERROR_UNAVAILABLE,
				"the first request with this idempotency key has no answer yet");
	if (r < 0)
		call_fail(service, call, &error);
	else if (key->number)
		replay(service, call, key->number);
	else
		call_wait(service, call, IDEMPOTENCY_PATIENCE_NS);
}

enum idempotency_verdict idempotency_begin(struct service *service, struct call *call)
{
	struct table *keys = &service->idempotency.keys;
	char scope[SCOPE_MAX], request[DIGEST_HEX];
	struct kept_key *key;
	struct error error;

	while (drop_oldest(service, false))
		;
	scope_of(scope, call->who.actor, call->method->name, call->idempotency_key);
	if (digest_request(request, call, &error) < 0) {
		call_fail(service, call, &error);
		return IDEMPOTENCY_ANSWERED;
	}
	key = table_find(keys, scope);
	if (key) {
		answer_again(service, call, key, request);
		return IDEMPOTENCY_ANSWERED;
	}
	key = key_new(keys, scope);
	if (!key) {
		error_raise(&error, ERROR_RESOURCE_EXHAUSTED, "out of memory");
		call_fail(service, call, &error);
		return IDEMPOTENCY_ANSWERED;
	}
	memcpy(key->request, request, sizeof(key->request));
	/* Who waits for its answer must not see the deadline of its own wait as that of the handler. */
	call->deadline_ns = 0;
	call->key = key;
	return IDEMPOTENCY_GO_ON;
}

void idempotency_end(struct service *service, struct call *call)
{
	struct kept_key *key = TAKE_PTR(call->key);

	if (call->reply && keep(service, call, key) == 0) {
		service->changed = true;
		return;
	}
	if (call->reply)
		log_error("%s: out of memory for its idempotency key", call->method->name);
	key_forget(&service->idempotency.keys, key);
	service->changed = true;
}

/* --- Loading --- */

static int load_key(struct idempotency *own, uint64_t number)
{
	Croft__State__V1__KeptAnswer *answer = answer_copy(own, number);
	struct kept_key *key;
	char scope[SCOPE_MAX];

	if (!answer)
		return -ENOMEM;
	scope_of(scope, answer->actor, answer->method, answer->key);
	key = table_find(&own->keys, scope);
	if (!key)
		key = key_new(&own->keys, scope);
	if (key) {
		key->number = number;
		snprintf(key->request, sizeof(key->request), "%s", answer->request_sha256);
	}
	message_free(answer);
	return key ? 0 : -ENOMEM;
}

int idempotency_load(struct service *service, struct error *err)
{
	struct idempotency *own = &service->idempotency;
	int r;

	own->answers = (struct ring){ .kind = "idempotency", .kept = IDEMPOTENCY_KEPT };
	r = ring_load(&own->answers, service->store, err);
	for (uint64_t n = ring_oldest(&own->answers); r == 0 && n <= own->answers.newest; n++)
		if (load_key(own, n) < 0)
			r = error_raise(err, ERROR_DATA_LOSS,
					"%s %" PRIu64 " in the store is damaged", own->answers.kind,
					n);
	return r;
}

void idempotency_free(struct service *service)
{
	struct idempotency *own = &service->idempotency;

	for (size_t i = 0; i < own->keys.count; i++)
		free(own->keys.entries[i].record);
	table_clear(&own->keys);
	ring_clear(&own->answers);
}
