# SPDX-License-Identifier: Apache-2.0
# The only makefile of Croft: finds the sources by wildcard and puts everything that it builds into out/.

MAKEFLAGS += --no-builtin-rules --no-builtin-variables -j$(shell nproc)
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

CC := gcc
CLANG := clang
CROSS := aarch64-linux-gnu-
SYSROOT := out/sysroot
FUZZ_SECONDS ?= 60
PREFIX ?= /usr
ARCH ?= native
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

# ---- sources ---------------------------------------------------------------------------------
protos := $(patsubst api/proto/%,%,$(sort $(wildcard api/proto/*/*/*.proto api/proto/*/*/*/*.proto)))
vmm := $(filter-out %main.c,$(sort $(wildcard vmm/*.c)))
agent := $(filter-out agent/main.c,$(sort $(wildcard agent/*.c)))
agent_main := $(wildcard agent/main.c)
ctl := $(sort $(wildcard agent/ctl/*.c))
hyp_core := $(sort $(wildcard images/refhyp/core/*.c))
# The part of the driver that also runs on the host, under tests.
driver_codec := driver/rm_codec.c
hyp_fake := $(wildcard images/refhyp/arch/fake.c)
hyp_target := $(hyp_core) $(sort $(wildcard images/refhyp/arch/aarch64/*.[cS] \
	images/refhyp/platform/qemu/*.[cS]))
hyp_inject := $(sort $(wildcard images/refhyp/inject/*.c))
hyp_door := images/refhyp/inject/door.h
hyp_ld := images/refhyp/platform/qemu/refhyp.ld
driver := $(sort $(wildcard driver/*.[ch] driver/Kbuild)) $(wildcard api/gunyah/*.h)
unit := $(sort $(wildcard tests/unit/test_*.c))
conformance := $(sort $(wildcard tests/conformance/*))
board_tests := $(sort $(shell grep -ls '^int main' tests/board/*.c))
driver_tests := $(sort $(shell grep -ls '^int main' tests/driver/*.c))
driver_probe := $(sort $(wildcard tests/driver/module/*))
driver_scripts := $(wildcard tests/driver/build tests/driver/init tests/driver/cap_16 tests/driver/unload)
# The tests of the resource manager bring a hypervisor of their own.
rm_helpers := tests/unit/hyp_fake.c tests/unit/rm_client.c
unit_helpers := $(filter-out $(unit) $(rm_helpers),$(sort $(wildcard tests/unit/*.c)))
fuzz := $(sort $(wildcard tests/fuzz/fuzz_*.c))
bench := $(sort $(wildcard tests/bench/*.c))
# Google's own messages that ours import; protobuf-c ships no code for them.
known := $(sort $(shell sed -n 's|^import "\(google/protobuf/.*\)";|\1|p' $(protos:%=api/proto/%) /dev/null))
programs := $(if $(agent_main),croftd) $(if $(ctl),croftctl)
parts := libvmm.a libagent.a $(programs)
gen_c := $(patsubst %.proto,out/gen/%.pb-c.c,$(protos) $(known))
gen_h := $(gen_c:.c=.h)

# ---- flags -----------------------------------------------------------------------------------
warn := -std=gnu17 -Wall -Wextra -Werror -Wshadow -Wconversion
include_dirs := -I. -Iout/gen
common := $(warn) -g -D_GNU_SOURCE= $(include_dirs) -MMD -MP
hard := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
sanitize := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
libs := -linih -lmicrohttpd -lgnutls -lwslay -ljansson -lcurl -lgrpc -lgpr -lprotobuf-c -lcrypto -lsystemd -lsqlite3 -lseccomp \
	-lfdt -lz -lzstd -luring -lpthread -lm
link := -Wl,--as-needed -Wl,-z,relro,-z,now
# gRPC core is some fifty libraries of C++ that nothing else on a device uses. Linked in, they save croftd a fifth of its memory
# and two fifths of its start. OpenSSL, which they use, stays a library.
grpc = -static-libgcc -Wl,--start-group $(sort $(patsubst -l%,-l:lib%.a,$(filter -lgrpc -lgpr -lupb -lre2 -laddress_sorting \
	-labsl_%,$(shell pkg-config --static --libs grpc)))) -Wl,--end-group -l:libstdc++.a -lcares -lssl
static.native = $(grpc)
static.arm64 = -L$(SYSROOT)/usr/lib/gcc/aarch64-linux-gnu/12 $(grpc)

flags.native := $(common) $(hard)
flags.san := $(common) -O1 $(sanitize) -Iimages/refhyp
flags.arm64 := $(common) $(hard) --sysroot=$(SYSROOT)
flags.clang := $(common) -O1 -Iimages/refhyp
flags.fuzz := $(common) -O1 -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined -Iimages/refhyp
flags.refhyp := $(warn) -O2 -g -MMD -MP --sysroot=$(SYSROOT) -I. -Iimages/refhyp -ffreestanding \
	-fno-pic -fno-pie -fno-common -fno-stack-protector -fno-asynchronous-unwind-tables \
	-march=armv8-a -mgeneral-regs-only -mno-outline-atomics -mstrict-align

cc.native := $(CC)
cc.san := $(CC)
cc.arm64 := $(CROSS)gcc
cc.clang := $(CLANG)
cc.fuzz := $(CLANG)
ar.native := ar
ar.san := ar
ar.arm64 := $(CROSS)ar
ar.clang := ar
ar.fuzz := ar

# Commands are shown short; V=1 shows them whole.
ifeq ($(V),1)
run = $2
else
run = @printf '%-8s%s\n' "$1" "$@" && $2
endif

# ---- the targets that people type -------------------------------------------------------------
.PHONY: help all deps demo board guest-debian format install packages clean check check-lint check-unit check-fuzz \
	check-cross check-api check-conformance check-driver check-board check-guest-debian check-packages conformance fuzz bench bench-api lint
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' Makefile

all: native arm64 refhyp driver guest-image board-image ## everything that runs, for this PC and for the board

deps: ## installs the Debian packages that are missing
	@images/deps

demo: all ## boots the board and runs a Linux VM on it with curl, step by step
	@images/board/demo

board: all ## boots the board and leaves it running: HYP=image SMP=cpus MEM=MiB CROFT_PORT= CROFT_GRPC_PORT=
	@images/board/run --console

guest-debian: out/guest-debian/manifest.json ## a stock Debian as a guest image, from Debian's packages, in out/guest-debian

conformance: refhyp out/conformance/initrd.cpio ## the ABI suite on refhyp: HYP=another image SUITE=one of its suites; SUITE=storm SEED= OPS=
	@tests/conformance/run $(SUITE) $(if $(SEED),seed=$(SEED)) $(if $(OPS),ops=$(OPS))

check: ## every test, as CI runs them
	@tests/run lint unit fuzz cross api conformance driver board

check-lint: ## the rules of the source tree
	@tests/run lint
lint: check-lint

check-unit: ## unit tests, under sanitizers
	@tests/run unit

check-fuzz: ## a few seconds of each fuzz target
	@tests/run fuzz

check-cross: ## the builds: native, clang, arm64, driver, refhyp
	@tests/run cross

check-api: ## the contract's lints, REST, gRPC and croftctl on the fake backend, and what matters of it on the board
	@tests/run api api_board

check-conformance: ## what refhyp presents, fault injection, and a storm: SEED= repeats one
	@SEED=$(SEED) tests/run conformance

check-driver: ## the driver alone, on the board: HYP=another hypervisor LINUX=6.12 ONLY=words
	@tests/run driver

check-board: ## the board, end to end
	@tests/run board

check-guest-debian: refhyp board-image guest-debian ## boots that Debian on the board, through the API; not part of check
	@tests/run guest_debian

check-packages: refhyp guest-image packages out/device-debian/disk.raw ## installs, uses, upgrades and purges the packages on a Debian that boots on the board; not part of check
	@tests/run packages

fuzz: fuzz-build refhyp out/conformance/initrd.cpio ## longer fuzzing: FUZZ_SECONDS= a target; and a longer storm
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run fuzz
	@tests/conformance/run storm ops=$$(($(FUZZ_SECONDS) * 40000))

bench: bench-api ## the benchmarks, each beside its peer in the same run

bench-api: native bench-build ## what REST and gRPC cost beside bare servers on the same libraries
	@images/deps
	@tests/bench/api

format: ## lays out the C files by .clang-format
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs -r clang-format -i

install: $(parts:%=out/$(ARCH)/%) $(if $(filter arm64,$(ARCH)),driver) ## files in place: DESTDIR= PREFIX=/usr ARCH=native or arm64 (with gunyah.ko)
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(programs:%=out/$(ARCH)/%)
	install -D -m 644 deploy/croftd.conf $(DESTDIR)/etc/croft/croftd.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system deploy/croftd.service
	install -D -m 644 deploy/croft.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/croft.conf
	install -D -m 644 deploy/croft.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/croft.conf
ifeq ($(ARCH),arm64)
	install -D -m 644 deploy/croft.modules $(DESTDIR)$(PREFIX)/lib/modules-load.d/croft.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/modules/$$(<out/linux/release)/updates out/driver/gunyah.ko
endif

packages: native arm64 ## Debian packages in out/packages: the agent for this PC and for arm64, the driver for DKMS
	@deploy/debian/build

clean: ## removes out/
	rm -rf out

# ---- what a build needs first -----------------------------------------------------------------
out/stamp/deps: images/deps
	@mkdir -p $(@D)
	images/deps
	@touch $@

# One apt works at a time on the private state, so the second waits for the first.
out/stamp/sysroot: images/sysroot images/apt | out/stamp/deps
	images/sysroot
	@touch $@

out/stamp/linux: images/linux images/apt | out/stamp/deps out/stamp/sysroot
	images/linux
	@touch $@

# A file that holds a value and is younger than what depends on it only when the value changed.
define remember
ifneq ($$(strip $2),$$(strip $$(file <out/stamp/$1)))
$$(shell mkdir -p out/stamp)
$$(file >out/stamp/$1,$$(strip $2))
endif
endef
ifneq ($(MAKECMDGOALS),clean)
$(eval $(call remember,sources,$(protos) $(vmm) $(agent) $(ctl) $(hyp_target) $(hyp_fake) $(hyp_inject) $(driver) $(conformance)))
$(eval $(call remember,version,$(VERSION)))
endif

# ---- generated code ---------------------------------------------------------------------------
out/gen/%.pb-c.c out/gen/%.pb-c.h &: api/proto/%.proto | out/stamp/deps
	@mkdir -p out/gen
	$(call run,PROTOC,protoc-c --proto_path=api/proto --c_out=out/gen $*.proto)

out/gen/google/%.pb-c.c out/gen/google/%.pb-c.h &: /usr/include/google/%.proto | out/stamp/deps
	@mkdir -p out/gen
	$(call run,PROTOC,protoc-c --proto_path=/usr/include --c_out=out/gen google/$*.proto)

/usr/include/google/%.proto: | out/stamp/deps ;

# What the agent tells of its API by reflection: all of it but the records of its own store.
described := $(filter-out croft/state/%,$(protos))
out/gen/api.pb: $(described:%=api/proto/%) out/stamp/sources | out/stamp/deps
	@mkdir -p out/gen
	$(call run,PROTOC,protoc --proto_path=api/proto --include_imports --descriptor_set_out=$@ $(described))

# ---- user space, once a flavour ----------------------------------------------------------------
# Generated code is not ours, so only its own warnings are off.
define flavour
ifneq ($$(MAKECMDGOALS),clean)
$$(eval $$(call remember,flags-$1,$$(cc.$1) $$(flags.$1)))
endif

out/$1/gen/%.o: out/gen/%.c out/stamp/flags-$1 | $$(gen_h) $3
	@mkdir -p $$(@D)
	$$(call run,CC,$$(cc.$1) $$(flags.$1) -w -c -o $$@ $$<)

out/$1/%.o: %.c out/stamp/flags-$1 | $$(gen_h) $3
	@mkdir -p $$(@D)
	$$(call run,CC,$$(cc.$1) $$(flags.$1) -c -o $$@ $$<)

# The version is compiled into one file only.
out/$1/agent/version.o: out/stamp/version
out/$1/agent/version.o: flags.$1 += -DCROFT_VERSION='"$$(VERSION)"'
# It holds the contract; compilers do not see what assembly includes.
out/$1/agent/openapi.o: api/openapi/croft.yaml
out/$1/agent/descriptor.o: out/gen/api.pb

# What the kernel's headers have beyond those of user space.
$$(driver_codec:%.c=out/$1/%.o): flags.$1 += -Itests/unit/kernel
out/$1/tests/unit/test_driver_codec.o out/$1/tests/fuzz/fuzz_driver_codec.o: flags.$1 += -Itests/unit/kernel

out/$1/libvmm.a: $$(vmm:%.c=out/$1/%.o) out/stamp/sources
	@mkdir -p $$(@D) && rm -f $$@
	$$(call run,AR,$$(ar.$1) rcs $$@ $$(filter %.o,$$^))

out/$1/libagent.a: $$(agent:%.c=out/$1/%.o) $$(gen_c:out/gen/%.c=out/$1/gen/%.o) out/stamp/sources
	@mkdir -p $$(@D) && rm -f $$@
	$$(call run,AR,$$(ar.$1) rcs $$@ $$(filter %.o,$$^))

out/$1/librefhyp.a: $$(patsubst %.c,out/$1/%.o,$$(hyp_core) $$(hyp_fake)) out/stamp/sources
	@mkdir -p $$(@D) && rm -f $$@
	$$(call run,AR,$$(ar.$1) rcs $$@ $$(filter %.o,$$^))

out/$1/croftd: $$(agent_main:%.c=out/$1/%.o) out/$1/libagent.a out/$1/libvmm.a
	$$(call run,LINK,$$(cc.$1) $$(flags.$1) $2 -o $$@ $$^ $$(link) $$(static.$1) $$(libs))

out/$1/croftctl: $$(ctl:%.c=out/$1/%.o) out/$1/libagent.a out/$1/libvmm.a
	$$(call run,LINK,$$(cc.$1) $$(flags.$1) $2 -o $$@ $$^ $$(link) $$(libs))
endef
$(eval $(call flavour,native,-pie,out/stamp/deps))
$(eval $(call flavour,san,,out/stamp/deps))
$(eval $(call flavour,arm64,-pie,out/stamp/deps out/stamp/sysroot))
$(eval $(call flavour,clang,,out/stamp/deps))
$(eval $(call flavour,fuzz,,out/stamp/deps))

.PHONY: native san arm64 clang
native: $(parts:%=out/native/%)
san: $(parts:%=out/san/%) out/san/librefhyp.a
arm64: $(parts:%=out/arm64/%)
clang: $(patsubst %.c,out/clang/%.o,$(vmm) $(agent) $(agent_main) $(ctl) $(hyp_core) $(hyp_fake) $(hyp_inject) \
	$(unit) $(unit_helpers) $(rm_helpers) $(board_tests) $(driver_tests) $(driver_codec) $(bench))

# ---- tests -------------------------------------------------------------------------------------
out/san/tests/unit/%: out/san/tests/unit/%.o $(unit_helpers:%.c=out/san/%.o) out/san/libagent.a \
		out/san/libvmm.a out/san/librefhyp.a
	$(call run,LINK,$(cc.san) $(flags.san) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(link) -lcmocka $(libs))
out/san/tests/unit/test_driver_codec: $(driver_codec:%.c=out/san/%.o)
$(filter out/san/tests/unit/test_rm_%,$(unit:%.c=out/san/%)): $(rm_helpers:%.c=out/san/%.o)

out/fuzz/tests/fuzz/%: out/fuzz/tests/fuzz/%.o out/fuzz/libagent.a out/fuzz/libvmm.a \
		out/fuzz/librefhyp.a
	$(call run,LINK,$(cc.fuzz) $(flags.fuzz) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) \
		$(link) $(libs))
out/fuzz/tests/fuzz/fuzz_driver_codec: $(driver_codec:%.c=out/fuzz/%.o)
$(filter out/fuzz/tests/fuzz/fuzz_rm%,$(fuzz:%.c=out/fuzz/%)): $(rm_helpers:%.c=out/fuzz/%.o)

# Programs that the tests run on the board.
out/arm64/tests/board/%: out/arm64/tests/board/%.o out/arm64/libvmm.a
	$(call run,LINK,$(cc.arm64) $(flags.arm64) -pie -o $@ $^ $(link) $(libs))

# Those of the driver's tests, and its samples; the board that runs them has no libraries.
out/arm64/tests/driver/%: out/arm64/tests/driver/%.o
	$(call run,LINK,$(cc.arm64) $(flags.arm64) -static -o $@ $^ $(link) -lfdt -lpthread)

out/arm64/driver/samples/%: out/arm64/driver/samples/%.o
	$(call run,LINK,$(cc.arm64) $(flags.arm64) -static -o $@ $^ $(link))

out/arm64/driver/samples/guest.bin: driver/samples/guest.S | out/stamp/deps
	@mkdir -p $(@D)
	$(call run,AS,$(CROSS)gcc -c -o $@.o $< && $(CROSS)objcopy -O binary -j .text $@.o $@)

out/arm64/driver/samples/guest.dtb: driver/samples/guest.dts | out/stamp/deps
	@mkdir -p $(@D)
	$(call run,DTC,dtc -q -O dtb -o $@ $<)

# Peers and loads of the benchmarks; not sanitized, since they are measured.
out/native/tests/bench/%: out/native/tests/bench/%.o
	$(call run,LINK,$(cc.native) $(flags.native) -pie -o $@ $^ $(link) -lmicrohttpd -lgrpc -lgpr)

.PHONY: unit-build fuzz-build bench-build
unit-build: $(unit:%.c=out/san/%)
bench-build: $(bench:%.c=out/native/%)
fuzz-build: $(fuzz:%.c=out/fuzz/%)

# ---- refhyp ------------------------------------------------------------------------------------
ifneq ($(MAKECMDGOALS),clean)
$(eval $(call remember,flags-refhyp,$(flags.refhyp)))
endif
hyp_o := $(patsubst images/refhyp/%,out/refhyp/%.o,$(hyp_target))
out/refhyp/%.o: images/refhyp/% out/stamp/flags-refhyp | out/stamp/sysroot
	@mkdir -p $(@D)
	$(call run,CC,$(CROSS)gcc $(flags.refhyp) -c -o $@ $<)

hyp_link := -Wl,--build-id=none -Wl,--no-warn-rwx-segments -Wl,-T,$(hyp_ld)
hyp_libs := $(SYSROOT)/usr/lib/aarch64-linux-gnu/libfdt.a

# Linked twice: the second time with the names of the functions, which lie behind the code and so move none of it.
define hyp_image
out/refhyp/$1.elf: $2 $$(hyp_ld) images/refhyp/symbols out/stamp/sources
	@images/refhyp/symbols </dev/null | $$(CROSS)gcc -c -x assembler -o out/refhyp/$1-none.o -
	@$$(hyp_gcc) -o out/refhyp/$1-first.elf $2 out/refhyp/$1-none.o $$(hyp_libs)
	@$$(CROSS)nm -n out/refhyp/$1-first.elf | images/refhyp/symbols | \
		$$(CROSS)gcc -c -x assembler -o out/refhyp/$1-symbols.o -
	$$(call run,LINK,$$(hyp_gcc) -o $$@ $2 out/refhyp/$1-symbols.o $$(hyp_libs))
endef
hyp_gcc := $(CROSS)gcc -nostdlib -static -no-pie $(hyp_link)
# The second with fault injection: what hooks do is decided here, by what is linked.
hyp_inject_o := $(patsubst images/refhyp/%,out/refhyp/%.o,$(hyp_inject))
$(eval $(call hyp_image,refhyp,$(hyp_o)))
$(eval $(call hyp_image,refhyp-test,$(hyp_o) $(hyp_inject_o)))

.PHONY: refhyp
refhyp: $(if $(wildcard $(hyp_ld)),out/refhyp/refhyp.elf out/refhyp/refhyp-test.elf)

# ---- the driver, for Debian's own kernel and for a later one ------------------------------------
out/stamp/linux-%: images/linux images/apt | out/stamp/deps out/stamp/sysroot
	images/linux $*
	@touch $@

# Kbuild writes beside the sources, so it works on a copy.
define kernel
out/driver$1/gunyah.ko: $(driver) out/stamp/linux$1 out/stamp/sources
	@rm -rf $$(@D) && mkdir -p $$(@D)/api/gunyah
	@cp $$(filter driver/%,$(driver)) $$(@D)/ && cp api/gunyah/*.h $$(@D)/api/gunyah/
	@$$(MAKE) -C out/linux$1/hdr/build M=$(CURDIR)/$$(@D) $(kbuild) modules 2>&1 | sed '/Skipping BTF generation/d'

# The driver with all that it can have, and the module that looks into it.
out/check-driver$1/module/driver_probe.ko: $(driver) $(driver_probe) out/stamp/linux$1 out/stamp/sources
	@rm -rf $$(@D) && mkdir -p $$(@D)/api/gunyah
	@cp $$(filter driver/%,$(driver)) $$(@D)/ && cp api/gunyah/*.h $$(@D)/api/gunyah/
	@mv $$(@D)/Kbuild $$(@D)/Kbuild.driver && cp $(driver_probe) $$(@D)/
	@$$(MAKE) -C out/linux$1/hdr/build M=$(CURDIR)/$$(@D) $(kbuild) CONFIG_GUNYAH_QCOM_PLATFORM=y modules 2>&1 | \
		sed '/Skipping BTF generation/d'

out/check-driver$1/initrd.cpio: out/check-driver$1/module/driver_probe.ko $(driver_scripts) images/cpio \
		$(driver_tests:%.c=out/arm64/%) $(addprefix out/arm64/driver/samples/,vmm guest.bin guest.dtb)
	tests/driver/build $$@ $$(dir $$<) $$(filter out/arm64/% %/cap_16 %/unload,$$^)
endef
kbuild := ARCH=arm64 CROSS_COMPILE=$(CROSS) W=1 KCFLAGS=-Werror CONFIG_DEBUG_INFO_BTF_MODULES= --no-print-directory
$(eval $(call kernel,))
$(eval $(call kernel,-6.12))

# What sparse says; the contexts of guard() are beyond it.
out/driver-sparse/ok: $(driver) out/stamp/linux out/stamp/sources
	@rm -rf $(@D) && mkdir -p $(@D)/api/gunyah
	@cp $(filter driver/%,$(driver)) $(@D)/ && cp api/gunyah/*.h $(@D)/api/gunyah/
	@$(MAKE) -C out/linux/hdr/build M=$(CURDIR)/$(@D) $(kbuild) CONFIG_GUNYAH_QCOM_PLATFORM=y C=2 \
		CHECK='sparse -Wno-context' modules 2>&1 | tee $(@D)/said | (! grep -E ': (warning|error):')
	@touch $@

.PHONY: driver driver-sparse driver-checkpatch
driver-sparse: out/driver-sparse/ok
driver-checkpatch: ## the kernel's own style checker, strict, over the driver
	@tests/driver/checkpatch
driver: $(if $(wildcard driver/Kbuild),out/driver/gunyah.ko)

# ---- the ABI suite -----------------------------------------------------------------------------
# The hostile guest of its storm is a program of its own, which the module holds.
storm_flags := -std=gnu17 -Wall -Wextra -Werror -Wshadow -Wconversion -O2 -ffreestanding -fno-builtin -fno-pic -fno-pie \
	-static -nostdlib -mgeneral-regs-only -mstrict-align -fno-stack-protector -Wl,-Ttext=0x80000000 \
	-Wl,--build-id=none -Wl,-z,max-page-size=4096
storm_guest := $(addprefix tests/conformance/storm_guest,.S .c)
out/conformance/storm_guest.bin: $(storm_guest) tests/conformance/storm.h | out/stamp/sysroot
	@mkdir -p $(@D)
	$(call run,LINK,$(CROSS)gcc $(storm_flags) -o $(@:.bin=.elf) $(storm_guest))
	@$(CROSS)objcopy -O binary $(@:.bin=.elf) $@

out/conformance/module/conformance.ko: $(filter-out $(storm_guest),$(filter %.c %.h %.S %/Kbuild,$(conformance))) $(wildcard api/gunyah/*.h) \
		$(hyp_door) out/conformance/storm_guest.bin out/stamp/linux out/stamp/sources
	@rm -rf $(@D) && mkdir -p $(@D)/api/gunyah $(@D)/inject
	@cp $(filter tests/%,$^) $(@D)/ && cp api/gunyah/*.h $(@D)/api/gunyah/ && cp $(hyp_door) $(@D)/inject/
	@cp out/conformance/storm_guest.bin $(@D)/
	@$(MAKE) -C out/linux/hdr/build M=$(CURDIR)/$(@D) ARCH=arm64 CROSS_COMPILE=$(CROSS) W=1 \
		KCFLAGS=-Werror --no-print-directory modules 2>&1 | sed '/Skipping BTF generation/d'

out/conformance/initrd.cpio: out/conformance/module/conformance.ko tests/conformance/init \
		tests/conformance/build images/cpio out/stamp/sysroot
	tests/conformance/build

# ---- images ------------------------------------------------------------------------------------
guest_files := $(sort $(wildcard images/guest/*))
out/guest/manifest.json: $(guest_files) out/stamp/linux out/stamp/sysroot
	images/guest/build

# Its packages' versions are Debian's of the day when it was made.
out/guest-debian/manifest.json: $(sort $(wildcard images/guest-debian/*)) out/stamp/linux out/stamp/sysroot
	images/guest-debian/build

# Debian on the board itself; it has what the packages need by the time when it was made.
out/device-debian/disk.raw: $(sort $(wildcard images/device-debian/*)) images/board/debug out/guest-debian/manifest.json | packages
	images/device-debian/build

board_files := $(sort $(wildcard images/board/*))
out/board/initrd.cpio: $(board_files) out/stamp/linux out/stamp/sysroot \
		$(programs:%=out/arm64/%) $(board_tests:%.c=out/arm64/%) $(if $(wildcard driver/Kbuild),out/driver/gunyah.ko)
	images/board/build

.PHONY: guest-image board-image
guest-image: $(if $(wildcard images/guest/build),out/guest/manifest.json)
board-image: $(if $(wildcard images/board/build),out/board/initrd.cpio)

-include $(shell [ ! -d out ] || find out -path out/sysroot -prune -o -path 'out/linux*' -prune -o \
	-path 'out/driver*' -prune -o -path '*/module' -prune -o -type f -name '*.d' -print)
