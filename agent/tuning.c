// SPDX-License-Identifier: Apache-2.0
// What can be changed while the agent runs: checked, kept and put in force.

#include "agent/tuning.h"

#include <inttypes.h>
#include <string.h>

#include "agent/config.h"
#include "agent/event.h"
#include "agent/mask.h"
#include "agent/message.h"
#include "agent/state.h"

static int no_memory(struct error *err)
{
	return error_raise(err, ERROR_RESOURCE_EXHAUSTED, "out of memory");
}

/* --- Checks --- */

static int check_seconds(const char *field, const Google__Protobuf__Duration *d, struct error *err)
{
	if (!d || (d->nanos == 0 && d->seconds >= 1 && d->seconds <= TUNING_SECONDS_MAX))
		return 0;
	return error_raise_field(err, field, "must be whole seconds from 1s to %ds",
				 TUNING_SECONDS_MAX);
}

static int check(const Croft__V1__ConfigSpec *spec, struct error *err)
{
	enum log_level level;
	int r = 0;

	if (spec->log_level[0] && !log_level_of(&level, spec->log_level))
		return error_raise_field(err, "/spec/log_level", "\"%.20s\" is none of " LOG_LEVELS,
					 spec->log_level);
	r = check_seconds("/spec/start_timeout", spec->start_timeout, err);
	if (r == 0)
		r = check_seconds("/spec/stop_timeout", spec->stop_timeout, err);
	if (r == 0)
		r = check_seconds("/spec/fetch_timeout", spec->fetch_timeout, err);
	if (r == 0 && spec->image_bytes_max &&
	    (spec->image_bytes_max < TUNING_IMAGE_MIN || spec->image_bytes_max > TUNING_IMAGE_MAX))
		r = error_raise_field(err, "/spec/image_bytes_max",
				      "%" PRIu64 " bytes: from %llu (1 MiB) to %llu (1 TiB)",
				      spec->image_bytes_max, TUNING_IMAGE_MIN, TUNING_IMAGE_MAX);
	return r;
}

/* --- In force --- */

static unsigned int seconds_of(const Google__Protobuf__Duration *d, unsigned int otherwise)
{
	return d ? (unsigned int)d->seconds : otherwise;
}

/* What `set` says, and for the rest the file and the command line. */
static void resolve(struct tuning *out, const struct config *config,
		    const Croft__V1__ConfigSpec *set)
{
	out->log_level = config->log_level;
	if (set->log_level[0])
		log_level_of(&out->log_level, set->log_level);
	out->start_timeout = seconds_of(set->start_timeout, config->start_timeout);
	out->stop_timeout = seconds_of(set->stop_timeout, config->stop_timeout);
	out->fetch_timeout = seconds_of(set->fetch_timeout, config->fetch_timeout);
	out->image_bytes_max = set->image_bytes_max ? set->image_bytes_max : config->image_size_max;
}

static void enforce(struct service *service)
{
	struct tuning *tuning = service->tuning;

	resolve(tuning, service->config, tuning->msg->spec);
	log_set_level(tuning->log_level);
}

static int load(void *data, const char *name, const void *bytes, size_t n, struct error *err)
{
	struct tuning *tuning = data;

	(void)name;
	tuning->msg = croft__v1__config__unpack(NULL, n, bytes);
	if (tuning->msg && tuning->msg->spec && check(tuning->msg->spec, NULL) == 0)
		return 0;
	return error_raise(err, ERROR_DATA_LOSS, "the configuration in the store is damaged");
}

int tuning_load(struct service *service, struct error *err)
{
	struct tuning *tuning = service->tuning = calloc(1, sizeof(*tuning));
	int r = tuning ? store_load(service->store, "config", load, tuning, err) : no_memory(err);

	if (r < 0)
		return r;
	if (!tuning->msg) {
		tuning->msg = message_new(&croft__v1__config__descriptor);
		if (!tuning->msg)
			return no_memory(err);
		tuning->msg->spec = message_new(&croft__v1__config_spec__descriptor);
		if (!tuning->msg->spec)
			return no_memory(err);
	}
	tuning->record = (struct record){ .kind = "config",
					  .name = "config",
					  .message = &tuning->msg->base,
					  .revision = &tuning->msg->revision };
	if (!tuning->msg->revision)
		record_touch(service, &tuning->record);
	enforce(service);
	return 0;
}

void tuning_free(struct service *service)
{
	if (!service->tuning)
		return;
	message_free(service->tuning->msg);
	free(service->tuning);
	service->tuning = NULL;
}

/* --- As clients see it --- */

static void set_seconds(Google__Protobuf__Duration **field, unsigned int seconds)
{
	if (!*field)
		*field = message_new(&google__protobuf__duration__descriptor);
	if (*field)
		(*field)->seconds = seconds;
}

/* The names of the fields that were set over the API. */
static int add_changed(Croft__V1__Config *config, const Croft__V1__ConfigSpec *set)
{
	static const Croft__V1__ConfigSpec none = CROFT__V1__CONFIG_SPEC__INIT;
	const ProtobufCMessageDescriptor *type = &croft__v1__config_spec__descriptor;

	for (unsigned int i = 0; i < type->n_fields; i++) {
		char *name;

		if (!message_field_differs(&none.base, &set->base, &type->fields[i]))
			continue;
		name = strdup(type->fields[i].name);
		if (!name || message_append(&config->changed, &config->n_changed, name) < 0) {
			free(name);
			return -ENOMEM;
		}
	}
	return 0;
}

static int add_settings(Croft__V1__Config *config, const struct config *from)
{
	struct config_text text;

	for (size_t i = 0; config_text(&text, from, i); i++) {
		Croft__V1__ConfigSetting *s = message_new(&croft__v1__config_setting__descriptor);
		char name[64];

		if (!s || message_append(&config->settings, &config->n_settings, s) < 0) {
			message_free(s);
			return -ENOMEM;
		}
		snprintf(name, sizeof(name), "%s.%s", text.section, text.key);
		message_set_string(&s->name, name);
		message_set_string(&s->value, text.value);
		message_set_string(&s->source, text.source);
	}
	return 0;
}

/* The message for what would be set so. */
static Croft__V1__Config *describe(struct service *service, const Croft__V1__ConfigSpec *set)
{
	Croft__V1__Config *config = message_new(&croft__v1__config__descriptor);
	Croft__V1__ConfigSpec *spec = message_new(&croft__v1__config_spec__descriptor);
	struct tuning now;

	if (!config || !spec) {
		message_free(config);
		return message_free(spec);
	}
	resolve(&now, service->config, set);
	config->revision = service->tuning->msg->revision;
	config->spec = spec;
	message_set_string(&spec->log_level, log_level_name(now.log_level));
	set_seconds(&spec->start_timeout, now.start_timeout);
	set_seconds(&spec->stop_timeout, now.stop_timeout);
	set_seconds(&spec->fetch_timeout, now.fetch_timeout);
	spec->image_bytes_max = now.image_bytes_max;
	if (add_changed(config, set) < 0 || add_settings(config, service->config) < 0)
		return message_free(config);
	return config;
}

Croft__V1__Config *tuning_message(struct service *service)
{
	return describe(service, service->tuning->msg->spec);
}

/* --- Changes --- */

static void take_in(struct service *service, Croft__V1__Config *merged, const char *actor)
{
	struct tuning *tuning = service->tuning;
	Croft__V1__ConfigSpec *before = tuning->msg->spec;

	if (!message_field_differs(&tuning->msg->base, &merged->base,
				   protobuf_c_message_descriptor_get_field_by_name(
					   &croft__v1__config__descriptor, "spec")))
		return;
	tuning->msg->spec = merged->spec;
	merged->spec = before;
	enforce(service);
	record_touch(service, &tuning->record);
	event_emit(service, &(struct event_news){ .type = "config.updated",
						  .collection = "config",
						  .object = "spec",
						  .actor = actor });
	log_notice("the configuration was changed over the API by %s", actor);
}

int tuning_change(struct service *service, const struct tuning_update *update,
		  Croft__V1__Config **out, struct error *err)
{
	static const char *const parts[] = { "spec", NULL };
	Croft__V1__Config *merged = message_copy(&service->tuning->msg->base), *reply = NULL;
	int r = merged ? mask_apply(&merged->base, &update->wish->base, update->mask, parts, err)
		       : no_memory(err);

	if (r == 0 && !merged->spec)
		merged->spec = message_new(&croft__v1__config_spec__descriptor);
	if (r == 0)
		r = merged->spec ? check(merged->spec, err) : no_memory(err);
	if (r == 0 && update->dry_run) {
		reply = describe(service, merged->spec);
	} else if (r == 0) {
		take_in(service, merged, update->actor);
		reply = tuning_message(service);
	}
	message_free(merged);
	if (r == 0 && !reply)
		r = no_memory(err);
	if (r == 0)
		*out = reply;
	return r;
}
