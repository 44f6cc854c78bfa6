// SPDX-License-Identifier: Apache-2.0
// croftd: reads the configuration, brings up the service and its doors, and waits for the signal to end.

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "agent/config.h"
#include "agent/log.h"
#include "agent/message.h"
#include "agent/rest.h"
#include "agent/rpc.h"
#include "agent/service.h"
#include "agent/tls.h"
#include "agent/version.h"

#define EXIT_USAGE 2

struct agent {
	struct config *config;
	struct service *service;
	struct tls *tls;
	struct rest *rest;
	struct rpc *rpc;
};

static int bring_up(struct agent *agent, struct error *err)
{
	int r = tls_new(&agent->tls, agent->config, err);

	if (r == 0)
		r = service_new(&agent->service, agent->config, err);
	if (r == 0)
		r = rest_new(&agent->rest, agent->config, agent->service, agent->tls, err);
	if (r == 0)
		r = rpc_new(&agent->rpc, agent->config, agent->service, agent->tls, err);
	if (r == 0)
		sd_notify(0, "READY=1");
	return r;
}

static void take_down(struct agent *agent)
{
	agent->rpc = rpc_free(agent->rpc);
	agent->rest = rest_free(agent->rest);
	agent->service = service_free(agent->service);
	agent->tls = tls_free(agent->tls);
	agent->config = config_free(agent->config);
}

/* The watchdog is fed as long as the service thread's loop goes round. */
static void feed_watchdog(struct agent *agent, uint64_t watchdog_ns)
{
	uint64_t age = clock_ns() - service_heartbeat_ns(agent->service);

	if (watchdog_ns && age < watchdog_ns)
		sd_notify(0, "WATCHDOG=1");
}

/* "systemctl reload": the files of TLS are what can be read anew. */
static void reload(struct agent *agent)
{
	log_notice("reloading");
	tls_look(agent->tls, true);
}

static void wait_for_end(struct agent *agent, const sigset_t *signals)
{
	uint64_t watchdog_us = 0;
	struct timespec pause = { .tv_sec = agent->tls ? TLS_LOOK_SECONDS : 3600 };
	int s;

	if (sd_watchdog_enabled(0, &watchdog_us) > 0 &&
	    watchdog_us / 3 < (uint64_t)pause.tv_sec * 1000000)
		pause = (struct timespec){ .tv_sec = (time_t)(watchdog_us / 3 / 1000000),
					   .tv_nsec = (long)(watchdog_us / 3 % 1000000 * 1000) };
	do {
		feed_watchdog(agent, watchdog_us * 1000);
		tls_look(agent->tls, false);
		s = sigtimedwait(signals, NULL, &pause);
		if (s == SIGHUP)
			reload(agent);
		if (s == SIGCHLD)
			service_child_ended(agent->service);
	} while (s == SIGHUP || s == SIGCHLD || (s < 0 && (errno == EAGAIN || errno == EINTR)));
	log_notice("signal %s: stopping", sigabbrev_np(s) ? sigabbrev_np(s) : "?");
	sd_notify(0, "STOPPING=1");
}

static const char *or_off(const char *address)
{
	return address[0] ? address : "off";
}

static void report(const struct config *config)
{
	log_notice("croftd %s is ready: unix %s, tcp %s, tls %s, grpc %s, grpc_tls %s",
		   version_string(), or_off(config->listen_unix), or_off(config->listen_tcp.text),
		   or_off(config->listen_tls.text), or_off(config->listen_grpc.text),
		   or_off(config->listen_grpc_tls.text));
}

int main(int argc, char **argv)
{
	struct agent agent = { .config = NULL };
	enum config_action action;
	struct error error;
	sigset_t signals;
	int r;

	log_init();
	if (config_load(&agent.config, &action, argc, argv, &error) < 0) {
		log_error("%s", error.message);
		return EXIT_USAGE;
	}
	if (action == CONFIG_HELP) {
		fputs(config_usage(), stdout);
		return EXIT_SUCCESS;
	}
	if (action == CONFIG_VERSION) {
		printf("croftd %s (API %s, %s)\n", version_string(), version_api(),
		       version_build());
		return EXIT_SUCCESS;
	}

	rpc_prepare();
	log_set_level(agent.config->log_level);
	/* Whatever is made without a mode of its own is the agent's alone. */
	umask(0077);
	/* Blocked in all threads, which are made later, so that only wait_for_end() takes them. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);

	r = bring_up(&agent, &error);
	if (r < 0) {
		log_error("%s", error.message);
	} else {
		report(agent.config);
		wait_for_end(&agent, &signals);
	}
	take_down(&agent);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
