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

static struct virtio_slot next_slot(const struct vmm *vm)
{
	return (struct virtio_slot){
		.base = gpa(VM_VIRTIO_BASE + VIRTIO_MMIO_SIZE * vm->virtio_count),
		.spi = VM_VIRTIO_SPI + vm->virtio_count,
	};
}

static void add_virtio(struct vmm *vm, struct virtio_mmio *dev)
{
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

/* What reads guest memory. Lent memory is out of reach, so a VM that has lent it goes without. */
static int make_virtio(struct vmm *vm, const struct vmm_config *config, struct error *err)
{
	int r;

	if (config->lend)
		return 0;
	r = virtio_console_new(&vm->virtio_console, &vm->console, &vm->mem, next_slot(vm), err);
	if (r < 0)
		return r;
	add_virtio(vm, virtio_console_device(vm->virtio_console));
	for (unsigned int i = 0; i < config->disk_count; i++) {
		r = virtio_blk_new(&vm->disks[i], &config->disks[i], &vm->mem, next_slot(vm), err);
		if (r < 0)
			return r;
		vm->disk_count++;
		add_virtio(vm, virtio_blk_device(vm->disks[i]));
	}
	r = virtio_rng_new(&vm->rng, &vm->mem, next_slot(vm), err);
	if (r < 0)
		return r;
	add_virtio(vm, virtio_rng_device(vm->rng));
	r = virtio_balloon_new(&vm->balloon, &vm->mem, next_slot(vm), err);
	if (r < 0)
		return r;
	add_virtio(vm, virtio_balloon_device(vm->balloon));
	for (unsigned int i = 0; i < vm->virtio_count; i++)
		for (unsigned int q = 0; q < vm->virtio[i]->ops->queues; q++) {
			r = loop_add(&vm->loop, &vm->virtio[i]->queues[q].notified, err);
			if (r < 0)
				return r;
		}
	return 0;
}

static int load_images(struct vmm *vm, const struct vmm_config *config, struct boot_layout *layout,
		       struct error *err)
{
	struct fdt_config fdt = {
		.name = config->name,
		.vcpus = config->vcpus,
		.ram_base = vm->mem.base,
		.ram_size = vm->mem.size,
		.cmdline = config->cmdline,
		.bus = &vm->bus,
		.stdout_path = UART_PATH,
	};
	size_t length;
	int r;

	r = boot_load(&vm->mem, config->kernel_fd, config->initrd_fd, layout, err);
	if (r < 0)
		return r;
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

		for (unsigned int q = 0; r == 0 && q < dev->ops->queues; q++)
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
	r = mem_init(&vm->mem, gpa(BOOT_RAM_BASE), config->memory, err);
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
