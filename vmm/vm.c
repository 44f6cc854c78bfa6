// SPDX-License-Identifier: Apache-2.0
/* Makes a machine of its parts, and takes it apart. */
#include "vmm/vm.h"

#include <string.h>

#include "vmm/boot.h"
#include "vmm/fdt.h"

static void add_device(struct vmm *vm, struct mmio_device *dev)
{
	bus_add(&vm->bus, dev);
}

static struct virtio_slot next_slot(struct vmm *vm)
{
	return (struct virtio_slot){
		.mem = &vm->mem,
		.loop = &vm->loop,
		.base = gpa(VM_VIRTIO_BASE + VIRTIO_MMIO_SIZE * vm->virtio_count),
		.spi = VM_VIRTIO_SPI + vm->virtio_count,
	};
}

/* On whichever thread the device works; only one of those that come at once tells of it. */
static void device_broken(void *data, struct virtio_mmio *dev)
{
	struct vmm *vm = data;
	uint64_t times = __atomic_add_fetch(&vm->broken_times, 1, __ATOMIC_RELAXED);
	uint64_t told = __atomic_load_n(&vm->broken_told_ns, __ATOMIC_RELAXED), now = loop_now_ns();
	char name[64];

	if (!vm->events.device_broken || (told != 0 && now - told < VMM_BROKEN_NS) ||
	    !__atomic_compare_exchange_n(&vm->broken_told_ns, &told, now, false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	snprintf(name, sizeof(name), "%s%s%s", dev->ops->name, dev->label ? " " : "",
		 dev->label ? dev->label : "");
	vm->events.device_broken(vm->events.data, name, times);
}

static void add_virtio(struct vmm *vm, struct virtio_mmio *dev)
{
	dev->broken = device_broken;
	dev->broken_data = vm;
	vm->virtio[vm->virtio_count++] = dev;
	add_device(vm, &dev->mmio);
}

static int make_console(struct vmm *vm, struct error *err)
{
	int r;

	vm->console_ready = true;
	r = console_init(&vm->console, &vm->events, err);
	if (r == 0)
		r = loop_add(&vm->loop, &vm->console.timer, err);
	if (r == 0)
		r = uart_new(&vm->uart, &vm->console, err);
	if (r == 0)
		add_device(vm, uart_device(vm->uart));
	return r;
}

static int make_gpio(struct vmm *vm, struct error *err)
{
	int r = pl061_new(&vm->gpio, err);

	if (r == 0)
		add_device(vm, pl061_device(vm->gpio));
	return r;
}

static int make_rtc(struct vmm *vm, struct error *err)
{
	int r = pl031_new(&vm->rtc, err);

	if (r == 0)
		add_device(vm, pl031_device(vm->rtc));
	return r;
}

static int make_disks(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	for (unsigned int i = 0; i < config->disk_count; i++) {
		struct virtio_slot slot = next_slot(vm);
		struct vmm_disk disk = config->disks[i];
		int r;

		if (!disk.queues)
			disk.queues = config->vcpus;
		r = virtio_blk_new(&vm->disks[i], &disk, &slot, err);

		if (r < 0)
			return r;
		vm->disk_count++;
		add_virtio(vm, virtio_blk_device(vm->disks[i]));
	}
	return 0;
}

static int make_nets(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	for (unsigned int i = 0; i < config->net_count; i++) {
		struct virtio_slot slot = next_slot(vm);
		int r = virtio_net_new(&vm->nets[i], &config->nets[i], &slot, err);

		if (r < 0)
			return r;
		vm->net_count++;
		add_virtio(vm, virtio_net_device(vm->nets[i]));
	}
	return 0;
}

static int make_vsock(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	struct virtio_slot slot = next_slot(vm);
	int r;

	if (!config->vsock)
		return 0;
	r = virtio_vsock_new(&vm->vsock, config->vsock, &slot, err);
	if (r == 0)
		add_virtio(vm, virtio_vsock_device(vm->vsock));
	return r;
}

static int make_ports(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	struct virtio_ports_config ports = { .names = config->ports,
					     .count = config->port_count,
					     .events = &vm->events };
	struct virtio_slot slot = next_slot(vm);
	int r;

	if (!config->port_count)
		return 0;
	r = virtio_ports_new(&vm->ports, &ports, &slot, err);
	if (r == 0)
		add_virtio(vm, virtio_ports_device(vm->ports));
	return r;
}

static int make_shares(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	for (unsigned int i = 0; i < config->share_count; i++) {
		struct virtio_slot slot = next_slot(vm);
		int r = virtio_fs_new(&vm->shares[i], &config->shares[i], &slot, err);

		if (r < 0)
			return r;
		vm->share_count++;
		add_virtio(vm, virtio_fs_device(vm->shares[i]));
	}
	return 0;
}

static int make_rng(struct vmm *vm, struct error *err)
{
	struct virtio_slot slot = next_slot(vm);
	int r = virtio_rng_new(&vm->rng, &slot, err);

	if (r == 0)
		add_virtio(vm, virtio_rng_device(vm->rng));
	return r;
}

static int make_balloon(struct vmm *vm, struct error *err)
{
	struct virtio_slot slot = next_slot(vm);
	int r = virtio_balloon_new(&vm->balloon, &slot, err);

	if (r == 0)
		add_virtio(vm, virtio_balloon_device(vm->balloon));
	return r;
}

static int make_virtio_console(struct vmm *vm, struct error *err)
{
	struct virtio_slot slot = next_slot(vm);
	int r = virtio_console_new(&vm->virtio_console, &vm->console, &slot, err);

	if (r == 0)
		add_virtio(vm, virtio_console_device(vm->virtio_console));
	return r;
}

/*
 * What reads guest memory: without bounce memory, a VM that has lent all goes without. What a
 * balloon holds would be lent all the same.
 */
static int make_virtio(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	int r;

	if (config->lend && !config->bounce)
		return 0;
	r = make_virtio_console(vm, err);
	if (r == 0)
		r = make_disks(vm, config, err);
	if (r == 0)
		r = make_nets(vm, config, err);
	if (r == 0)
		r = make_vsock(vm, config, err);
	if (r == 0)
		r = make_ports(vm, config, err);
	if (r == 0)
		r = make_shares(vm, config, err);
	if (r == 0)
		r = make_rng(vm, err);
	if (r == 0 && !config->lend)
		r = make_balloon(vm, err);
	return r;
}

static int load_images(struct vmm *vm, const struct vmm_config *config, struct boot_layout *layout,
		       struct error *err)
{
	struct fdt_config fdt = {
		.name = config->name,
		.vcpus = config->vcpus,
		.ram_base = vm->mem.base,
		.ram_size = vm->mem.size,
		.bounce = { .base = vm->mem.bounce.base,
			    .size = vm->mem.bounce.size,
			    .label = BACKEND_BOUNCE_LABEL },
		.cmdline = config->cmdline,
		.bus = &vm->bus,
		.stdout_path = UART_PATH,
		.overlay = config->overlay,
		.overlay_size = config->overlay_size,
	};
	size_t length;
	int r;

	r = boot_load(&vm->mem, config->kernel_fd, config->initrd_fd, layout, err);
	if (r < 0)
		return r;
	fdt.bounce.pool = layout->knows_dma_pools;
	fdt.initrd_start = layout->initrd;
	fdt.initrd_size = layout->initrd_size;
	/* Half of the room, because the resource manager needs as much again. */
	return fdt_build(&fdt, mem_at(&vm->mem, layout->dtb, BOOT_DTB_SIZE / 2), BOOT_DTB_SIZE / 2,
			 &length, err);
}

static int bind_devices(struct vmm *vm, struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < vm->bus.count; i++) {
		const struct irq_line *irq = &vm->bus.devices[i]->irq;

		if (irq->fd >= 0)
			r = vm->ops->add_irqfd(vm->backend, irq->spi, irq->fd, err);
	}
	for (unsigned int i = 0; r == 0 && i < vm->virtio_count; i++) {
		struct virtio_mmio *dev = vm->virtio[i];
		gpa_t notify = gpa(dev->mmio.base.v + VIRTIO_MMIO_QUEUE_NOTIFY);

		for (unsigned int q = 0; r == 0 && q < dev->queue_count; q++)
			r = vm->ops->add_ioeventfd(vm->backend, notify, q,
						   dev->queues[q].notified.fd, err);
	}
	return r;
}

static int make_backend(struct vmm *vm, const struct vmm_config *config,
			const struct boot_layout *layout, struct error *err)
{
	struct backend_config bc = {
		.script = config->fake_script,
		.vcpus = config->vcpus,
		.mem = &vm->mem,
		.dtb = layout->dtb,
		.dtb_size = BOOT_DTB_SIZE,
		.lend = config->lend,
	};
	int r;

	r = vm->ops->open(&vm->backend, &bc, err);
	if (r == 0)
		r = vm->ops->load(vm->backend, err);
	for (unsigned int i = 0; r == 0 && i < config->vcpus; i++) {
		r = vm->ops->add_vcpu(vm->backend, i, err);
		vm->vcpus[i] = (struct vcpu){ .vmm = vm, .index = i };
	}
	if (r == 0)
		r = bind_devices(vm, err);
	if (r < 0)
		return error_widen(err, "%s", vm->ops->name);
	vm->vcpu_count = config->vcpus;
	return 0;
}

/*
 * Bounce memory lies right below RAM: a guest's kernel knows what is below 2 GiB as a zone of its
 * own, which its tree can make the only one that devices reach.
 */
static int make_memory(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	uint64_t size = config->memory - config->bounce;
	gpa_t base = gpa(BOOT_RAM_BASE);
	int r = config->huge_pages ? mem_init_huge(&vm->mem, base, size, err)
				   : mem_init(&vm->mem, base, size, err);

	if (r == 0 && config->bounce)
		r = mem_add_bounce(&vm->mem, gpa(BOOT_RAM_BASE - config->bounce), config->bounce,
				   err);
	return r;
}

int vm_init(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	struct boot_layout layout;
	int r;

	vm->mem = MEM_NONE;
	vm->loop = LOOP_NONE;
	pthread_mutex_init(&vm->end_lock, NULL);
	vm->name = strdup(config->name);
	if (!vm->name)
		return error_raise_errno(err, ERROR_RESOURCE_EXHAUSTED, ENOMEM, "create");
	r = make_memory(vm, config, err);
	if (r == 0)
		r = loop_init(&vm->loop, err);
	if (r == 0)
		r = make_console(vm, err);
	if (r == 0)
		r = make_gpio(vm, err);
	if (r == 0)
		r = make_rtc(vm, err);
	if (r == 0)
		r = make_virtio(vm, config, err);
	if (r == 0)
		r = load_images(vm, config, &layout, err);
	if (r == 0)
		r = make_backend(vm, config, &layout, err);
	if (r == 0 && vm->balloon)
		virtio_balloon_settle(vm->balloon);
	/* From the moment that the guest may run, lent memory is gone. */
	vm->mem.lent = r == 0 && config->lend;
	return r;
}

void vm_free(struct vmm *vm)
{
	if (vm->backend)
		vcpu_stop_all(vm);
	vcpu_join_all(vm);
	vm->ops->close(vm->backend);
	virtio_balloon_free(vm->balloon);
	virtio_rng_free(vm->rng);
	for (unsigned int i = vm->share_count; i-- > 0;)
		virtio_fs_free(vm->shares[i]);
	virtio_ports_free(vm->ports);
	virtio_vsock_free(vm->vsock);
	for (unsigned int i = vm->net_count; i-- > 0;)
		virtio_net_free(vm->nets[i]);
	for (unsigned int i = vm->disk_count; i-- > 0;)
		virtio_blk_free(vm->disks[i]);
	virtio_console_free(vm->virtio_console);
	pl031_free(vm->rtc);
	pl061_free(vm->gpio);
	uart_free(vm->uart);
	if (vm->console_ready)
		console_free(&vm->console);
	loop_free(&vm->loop);
	mem_free(&vm->mem);
	free(vm->name);
	pthread_mutex_destroy(&vm->end_lock);
}
