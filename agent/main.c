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
#include "agent/version.h"

#define EXIT_USAGE 2

struct agent {
	struct config *config;
	struct service *service;
	struct rest *rest;
	struct rpc *rpc;
};

static int bring_up(struct agent *agent, struct error *err)
{
	int r = service_new(&agent->service, agent->config, err);

	if (r == 0)
		r = rest_new(&agent->rest, agent->config, agent->service, err);
	if (r < 0)
		return r;
	/* REST answers while gRPC, which takes its time, comes up. */
	sd_notify(0, "READY=1");
	if (agent->config->listen_grpc.len)
		r = rpc_new(&agent->rpc, agent->config, agent->service, err);
	return r;
}

static void take_down(struct agent *agent)
{
	agent->rpc = rpc_free(agent->rpc);
	agent->rest = rest_free(agent->rest);
	agent->service = service_free(agent->service);
	agent->config = config_free(agent->config);
}

/* The watchdog is fed as long as the service thread's loop goes round. */
static void feed_watchdog(struct agent *agent, uint64_t watchdog_ns)
{
	uint64_t age = clock_ns() - service_heartbeat_ns(agent->service);

	if (watchdog_ns && age < watchdog_ns)
		sd_notify(0, "WATCHDOG=1");
}

static void wait_for_end(struct agent *agent, const sigset_t *signals)
{
	uint64_t watchdog_us = 0;
	struct timespec pause = { .tv_sec = 3600 };
	int s;

	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		pause = (struct timespec){ .tv_sec = (time_t)(watchdog_us / 3 / 1000000),
					   .tv_nsec = (long)(watchdog_us / 3 % 1000000 * 1000) };
	do {
		feed_watchdog(agent, watchdog_us * 1000);
		s = sigtimedwait(signals, NULL, &pause);
	} while (s < 0 && (errno == EAGAIN || errno == EINTR));
	log_notice("signal %s: stopping", sigabbrev_np(s) ? sigabbrev_np(s) : "?");
	sd_notify(0, "STOPPING=1");
}

static void report(const struct config *config)
{
	log_notice("croftd %s is ready: unix %s, tcp %s, grpc %s", version_string(),
		   config->listen_unix[0] ? config->listen_unix : "off",
		   config->listen_tcp.len ? config->listen_tcp.text : "off",
		   config->listen_grpc.len ? config->listen_grpc.text : "off");
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

	/* Whatever is made without a mode of its own is the agent's alone. */
	umask(0077);
	/* Blocked in all threads, which are made later, so that only wait_for_end() takes them. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
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
