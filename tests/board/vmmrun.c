// SPDX-License-Identifier: Apache-2.0
/*
 * Runs one VM by the VMM library alone, on the board: vmmrun [-m MIB] [-c VCPUS] [-d DISK] [-t TAP]
 * [-u TAP] [-p] [-n PORT] [-v vhost|PATH] [-s NAME=DIRECTORY] [-r NAME=DIRECTORY] [-l MIB] [-H]
 * [-o OVERLAY] KERNEL INITRD COMMAND-LINE. -t is a tap for vhost, -u one for the VMM itself, -p a
 * passt, -n a named port, -v vsock with context id 42, -s a shared directory, -r one that is
 * read-only, -l lends the memory but for so much of it, -H takes huge pages.
 *
 * The guest's console is standard output. Lines of standard input are obeyed in order: "balloon
 * BYTES", "await-balloon BYTES", "link N up|down", "limit N BYTES/S", "disklimit N BYTES/S",
 * "resized N", "port N WORD", "size COLUMNS ROWS", "type TEXT", "await TEXT" (of console or port),
 * "sh COMMAND", "stats", "peek" (into guest memory), "stop". What devices break is text as well.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "vmm/vmm.h"

struct run {
	struct vmm *vmm;
	int ended; /* an eventfd */
	struct vmm_exit exit;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t changed;
	bool over;
	char text[1 << 20]; /* of console and ports */
	size_t used, seen;
};

static void keep(struct run *run, const void *bytes, size_t n)
{
	pthread_mutex_lock(&run->lock);
	if (n > sizeof(run->text) - 1 - run->used)
		n = sizeof(run->text) - 1 - run->used;
	memcpy(run->text + run->used, bytes, n);
	run->used += n;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

/* Until the text has come, behind what was waited for before; or the end. */
static void await(struct run *run, const char *text)
{
	char *found = NULL;

	pthread_mutex_lock(&run->lock);
	while (!run->over &&
	       !(found = memmem(run->text + run->seen, run->used - run->seen, text, strlen(text))))
		pthread_cond_wait(&run->changed, &run->lock);
	if (found)
		run->seen = (size_t)(found - run->text) + strlen(text);
	pthread_mutex_unlock(&run->lock);
}

static void await_balloon(struct run *run, uint64_t bytes)
{
	struct vmm_stats stats;

	do {
		usleep(100000);
		vmm_stats(run->vmm, &stats);
	} while (!run->over && stats.balloon.actual != bytes);
	/* Figures that are younger than that. */
	for (unsigned int i = 0; i < 15; i++) {
		usleep(100000);
		vmm_stats(run->vmm, &stats);
	}
}

static void on_console(void *data, const void *bytes, size_t n)
{
	keep(data, bytes, n);
	(void)!write(STDOUT_FILENO, bytes, n);
}

static void on_broken(void *data, const char *device, uint64_t times)
{
	char line[128];

	snprintf(line, sizeof(line), "vmmrun: broken %s, %" PRIu64 " times\n", device, times);
	keep(data, line, strlen(line));
	fputs(line, stdout);
	fflush(stdout);
}

static void on_port(void *data, unsigned int port, const void *bytes, size_t n)
{
	keep(data, bytes, n);
	printf("vmmrun: port %u: %.*s\n", port, (int)n, (const char *)bytes);
	fflush(stdout);
}

static void on_exited(void *data, const struct vmm_exit *exit)
{
	struct run *run = data;
	uint64_t one = 1;

	run->exit = *exit;
	pthread_mutex_lock(&run->lock);
	run->over = true;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	(void)!write(run->ended, &one, sizeof(one));
}

static int fail(const char *what, const struct error *err)
{
	fprintf(stderr, "vmmrun: %s: %s\n", what, err->message);
	return 1;
}

static void print_stats(struct vmm *vmm)
{
	struct vmm_stats s;

	vmm_stats(vmm, &s);
	for (unsigned int i = 0; i < s.net_count; i++)
		printf("vmmrun: net %u up=%d vhost=%d gone=%d rx=%" PRIu64 "/%" PRIu64
		       " tx=%" PRIu64 "/%" PRIu64 " dropped=%" PRIu64 "/%" PRIu64
		       " throttled=%" PRIu64 "\n",
		       i, s.nets[i].link_up, s.nets[i].vhost, s.nets[i].peer_gone,
		       s.nets[i].rx_packets, s.nets[i].rx_bytes, s.nets[i].tx_packets,
		       s.nets[i].tx_bytes, s.nets[i].rx_dropped, s.nets[i].tx_dropped,
		       s.nets[i].throttled);
	for (unsigned int i = 0; i < s.disk_count; i++)
		printf("vmmrun: disk %u uring=%d queues=%u read=%" PRIu64 " write=%" PRIu64
		       " flush=%" PRIu64 " discard=%" PRIu64 " zero=%" PRIu64 " size=%" PRIu64
		       " throttled=%" PRIu64 " errors=%" PRIu64 "\n",
		       i, s.disks[i].uring, s.disks[i].queue_count, s.disks[i].read_ops,
		       s.disks[i].write_ops, s.disks[i].flush_ops, s.disks[i].discard_ops,
		       s.disks[i].zero_ops, s.disks[i].size, s.disks[i].throttled,
		       s.disks[i].errors);
	if (s.vsock.present)
		printf("vmmrun: vsock vhost=%d connections=%" PRIu64 " rx=%" PRIu64 " tx=%" PRIu64
		       "\n",
		       s.vsock.vhost, s.vsock.connections, s.vsock.rx_bytes, s.vsock.tx_bytes);
	printf("vmmrun: memory configured=%" PRIu64 " resident=%" PRIu64 " pinned=%" PRIu64 "\n",
	       s.memory_configured, s.memory_resident, s.memory_pinned);
	printf("vmmrun: balloon up=%d gives_back=%d target=%" PRIu64 " actual=%" PRIu64
	       " told=0x%x free=%" PRIu64 " total=%" PRIu64 "\n",
	       s.balloon.driver_up, s.balloon.gives_back, s.balloon.target, s.balloon.actual,
	       s.balloon.guest.told, s.balloon.guest.values[VMM_GUEST_FREE],
	       s.balloon.guest.values[VMM_GUEST_TOTAL]);
	fflush(stdout);
}

/* Where a range of guest memory is mapped: its name is that of the file. */
static uint8_t *find_memory(const char *name, uint64_t *size)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	uint64_t start, end;
	char line[256], path[64];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s %63s", &start, &end,
			   path) == 3 &&
		    strncmp(path, "/memfd:", 7) == 0 && strcmp(path + 7, name) == 0) {
			*size = end - start;
			return (uint8_t *)(uintptr_t)start;
		}
	return NULL;
}

/* Reads guest memory as another process would, which must not hurt anybody. */
static void peek(const char *name)
{
	uint64_t size = 0, pages = 0, used = 0;
	uint8_t *at = find_memory(name, &size), page[4096];
	struct iovec local = { page, sizeof(page) }, remote = { at, sizeof(page) };
	int error = 0;

	for (; at && (uint64_t)((uint8_t *)remote.iov_base - at) < size;
	     remote.iov_base = (uint8_t *)remote.iov_base + sizeof(page)) {
		if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0) {
			error = errno;
			continue;
		}
		pages++;
		used += memcmp(page, page + 1, sizeof(page) - 1) != 0 || page[0] != 0;
	}
	printf("vmmrun: peek %s: %" PRIu64 " of %" PRIu64 " pages readable, %" PRIu64
	       " not zero, %s\n",
	       name, pages, size / sizeof(page), used, error ? strerror(error) : "no error");
	fflush(stdout);
}

/* The file of guest memory, which the VMM forgets at the end. */
static int keep_memory(void)
{
	char path[64], name[64];

	for (int fd = 3; fd < 64; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof(name) - 1);
		name[n > 0 ? n : 0] = '\0';
		if (strncmp(name, "/memfd:guest (", 14) == 0)
			return dup(fd);
	}
	return -1;
}

/* What the host finds in memory that was the guest's. */
static void look_back(int fd, uint64_t size)
{
	const uint64_t *words = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	uint64_t used = 0;

	for (uint64_t i = 0; words != MAP_FAILED && i < size / 8; i++)
		used += words[i] != 0;
	printf("vmmrun: after its end %s of %" PRIu64 " bytes, %" PRIu64 " words not zero\n",
	       words == MAP_FAILED ? "nothing" : "all", size, used);
}

static void obey(struct run *run, char *line)
{
	struct vmm_limit limit = { 0 };
	struct error err = { 0 };
	unsigned int index, rows;
	char word[16];
	uint64_t n;
	int r = 0;

	if (sscanf(line, "balloon %" SCNu64, &n) == 1) {
		r = vmm_set_balloon(run->vmm, n, &err);
	} else if (sscanf(line, "link %u %15s", &index, word) == 2) {
		r = vmm_set_net_link(run->vmm, index, strcmp(word, "up") == 0, &err);
	} else if (sscanf(line, "limit %u %" SCNu64, &index, &limit.bytes_per_s) == 2) {
		r = vmm_set_net_limits(run->vmm, index, &limit, &limit, &err);
	} else if (sscanf(line, "disklimit %u %" SCNu64, &index, &limit.bytes_per_s) == 2) {
		r = vmm_set_disk_limit(run->vmm, index, &limit, &err);
	} else if (sscanf(line, "resized %u", &index) == 1) {
		r = vmm_disk_resized(run->vmm, index, &err);
	} else if (strncmp(line, "await ", 6) == 0) {
		line[strcspn(line, "\n")] = '\0';
		await(run, line + 6);
	} else if (sscanf(line, "await-balloon %" SCNu64, &n) == 1) {
		await_balloon(run, n);
	} else if (strncmp(line, "sh ", 3) == 0) {
		(void)!system(line + 3);
	} else if (strncmp(line, "type ", 5) == 0) {
		vmm_console_write(run->vmm, line + 5, strlen(line + 5));
	} else if (sscanf(line, "port %u %15s", &index, word) == 2) {
		vmm_port_write(run->vmm, index, word, strlen(word));
		vmm_port_write(run->vmm, index, "\n", 1);
	} else if (sscanf(line, "size %u %u", &index, &rows) == 2) {
		vmm_console_resize(run->vmm, (uint16_t)index, (uint16_t)rows);
	} else if (strncmp(line, "stats", 5) == 0) {
		print_stats(run->vmm);
	} else if (strncmp(line, "peek", 4) == 0) {
		peek("guest");
		peek("guest-bounce");
	} else if (strncmp(line, "stop", 4) == 0) {
		vmm_stop(run->vmm);
	} else if (line[0] != '\n') {
		r = error_raise(&err, ERROR_INVALID_ARGUMENT, "%s", line);
	}
	if (r < 0)
		fail("command", &err);
}

static void run_until_end(struct run *run)
{
	struct pollfd fds[] = { { .fd = run->ended, .events = POLLIN },
				{ .fd = STDIN_FILENO, .events = POLLIN } };
	char line[512];

	/* What poll() does not see must not wait in a buffer. */
	setvbuf(stdin, NULL, _IONBF, 0);
	while (poll(fds, 2, -1) >= 0 && !(fds[0].revents & POLLIN)) {
		if (!fds[1].revents)
			continue;
		if (fgets(line, sizeof(line), stdin))
			obey(run, line);
		else
			fds[1].fd = -1;
	}
}

static int add_net(struct vmm_config *config, struct vmm_net *nets, int opt, const char *name)
{
	struct vmm_net *net = &nets[config->net_count++];
	struct error err = { 0 };
	int pid, r;

	*net = (struct vmm_net){ .name = opt == 'p' ? "passt" : name,
				 .kind = opt == 'p' ? VMM_NET_STREAM : VMM_NET_TAP,
				 .any_source = opt == 't' };
	memcpy(net->mac, (const uint8_t[]){ 2, 0, 0, 0, 0x17, (uint8_t)config->net_count }, 6);
	r = opt == 'p' ? vmm_net_passt(&net->fd, &pid, &err) : vmm_net_tap(name, &net->fd, &err);
	return r < 0 ? fail("network", &err) : 0;
}

static void *load(const char *path, size_t *size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *bytes = malloc(VMM_OVERLAY_MAX);
	ssize_t n = bytes ? read(fd, bytes, VMM_OVERLAY_MAX) : -1;

	*size = n > 0 ? (size_t)n : 0;
	return bytes;
}

static int add_share(struct vmm_config *config, struct vmm_fs *shares, int opt, char *what)
{
	struct vmm_fs *share = &shares[config->share_count++];
	char *directory = strchr(what, '=');
	struct error err = { 0 };
	int fd, pid;

	if (!directory)
		return -1;
	*directory++ = '\0';
	share->tag = what;
	fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (vmm_fs_start(fd, opt == 'r', &share->fd, &pid, &err) < 0)
		return fail("share", &err);
	close(fd);
	printf("vmmrun: virtiofsd of %s is process %d\n", what, pid);
	return 0;
}

int main(int argc, char **argv)
{
	const struct vmm_events events = { .console = on_console,
					   .device_broken = on_broken,
					   .port = on_port,
					   .exited = on_exited };
	struct vmm_config config = {
		.name = "run", .vcpus = 1, .memory = 128 << 20, .kernel_fd = -1, .initrd_fd = -1
	};
	struct vmm_disk disks[VMM_DISKS_MAX];
	struct vmm_net nets[VMM_NETS_MAX];
	struct vmm_fs shares[VMM_SHARES_MAX];
	const char *ports[VMM_PORTS_MAX];
	struct vmm_vsock vsock = { .cid = 42 };
	struct vmm_events told = events;
	static struct run run = { .lock = PTHREAD_MUTEX_INITIALIZER,
				  .changed = PTHREAD_COND_INITIALIZER };
	struct error err = { 0 };
	int opt, memory;

	run.ended = eventfd(0, EFD_CLOEXEC);
	while ((opt = getopt(argc, argv, "m:c:d:t:u:pv:n:s:r:l:Ho:")) != -1) {
		if (opt == 'm')
			config.memory = strtoull(optarg, NULL, 0) << 20;
		else if (opt == 'c')
			config.vcpus = (unsigned int)atoi(optarg);
		else if (opt == 'd')
			disks[config.disk_count++] =
				(struct vmm_disk){ .name = optarg,
						   .fd = open(optarg, O_RDWR | O_CLOEXEC) };
		else if (opt == 'l')
			config.lend = true, config.bounce = strtoull(optarg, NULL, 0) << 20;
		else if (opt == 'H')
			config.huge_pages = true;
		else if (opt == 'o')
			config.overlay = load(optarg, &config.overlay_size);
		else if (opt == 'n')
			ports[config.port_count++] = optarg;
		else if (opt == 'v')
			vsock.path = strcmp(optarg, "vhost") == 0 ? NULL : optarg,
			config.vsock = &vsock;
		else if (opt == 's' || opt == 'r') {
			if (add_share(&config, shares, opt, optarg))
				return 2;
		} else if (opt == '?' || add_net(&config, nets, opt, optarg))
			return 2;
	}
	if (argc - optind != 3)
		return 2;
	config.kernel_fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
	config.initrd_fd = open(argv[optind + 1], O_RDONLY | O_CLOEXEC);
	config.cmdline = argv[optind + 2];
	config.disks = disks;
	config.nets = nets;
	config.ports = ports;
	config.shares = shares;
	told.data = &run;
	if (vmm_create(&run.vmm, &config, &told, &err) < 0)
		return fail("create", &err);
	for (unsigned int i = 0; i < config.net_count; i++)
		close(nets[i].fd);
	for (unsigned int i = 0; i < config.share_count; i++)
		close(shares[i].fd);
	if (vmm_start(run.vmm, &err) < 0)
		return fail("start", &err);
	run_until_end(&run);
	print_stats(run.vmm);
	memory = config.lend ? keep_memory() : -1;
	run.vmm = vmm_free(run.vmm);
	if (config.lend)
		look_back(memory, config.memory - config.bounce);
	while (wait(NULL) > 0)
		;
	printf("vmmrun: exit reason %d %s\n", run.exit.reason, run.exit.error.message);
	return run.exit.reason != VMM_EXIT_GUEST_POWEROFF;
}
