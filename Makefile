# SPDX-License-Identifier: GPL-2.0
# qbd: the module, the tool, the tests.  make help lists the targets.

REPO := $(CURDIR)
BUILD := $(REPO)/build

# The kernel to build for: KDIR if given, else the running one if its headers
# are here, else the newest installed Debian headers.
KDIR ?= $(or $(wildcard /lib/modules/$(shell uname -r)/build),$(shell \
	ls -d /usr/src/linux-headers-*-amd64 2>/dev/null | sort -V | tail -n 1))
# Not include/config/kernel.release: Debian's 6.1 headers have another name there.
kernel_release = $(shell sed -n 's/^.define UTS_RELEASE "\(.*\)".*/\1/p' \
	"$(1)/include/generated/utsrelease.h" 2>/dev/null)

# Kernels that the module is built for by lint and by the tests.
STOCK_KDIRS = $(shell ls -d /usr/src/linux-headers-6.1.*-amd64 2>/dev/null | sort -V | tail -n 1) \
	$(shell ls -d /usr/src/linux-headers-6.12.*-amd64 2>/dev/null | sort -V | tail -n 1)

# As many jobs as processors, unless make was told.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

UML ?= plain
SUITE ?=
BOUND ?= small
OUT ?= $(BUILD)/bench
DESTDIR ?=
PREFIX ?= /usr

# What make was told that Kbuild is to hear of.
QUIET = $(if $(findstring s,$(firstword -$(MAKEFLAGS))),-s) $(if $(filter 1,$(V)),V=1)

Q := @
ifeq ($(V),1)
Q :=
endif

.PHONY: all packages stock-packages module modules stock-modules uml-module tool install \
	modules_install check check-debug demo hosts hosts-cuts hosts-random bench model sim \
	sim-bugs random churn random-bugs churn-bugs crash-states crash-states-bugs coverage fuzz \
	fuzz-self-test shell uml-shell lint clean help

all: packages
	$(Q)$(MAKE) --no-print-directory module tool

# A host that has headers of its own is left with these.
packages:
	$(Q)scripts/packages.sh build $(if $(KDIR),,headers)

stock-packages:
	$(Q)scripts/packages.sh build headers

# $(call kbuild,KDIR,DIRECTORY,ARGUMENTS): build the module in DIRECTORY.
define kbuild
	$(Q)test -f kmod/Kbuild || { echo "qbd: kmod/Kbuild is missing: this is no complete source tree"; exit 2; }
	$(Q)echo "qbd: building the module in $(patsubst $(REPO)/%,%,$(2))"
	$(Q)scripts/kbuild.sh "$(1)" "$(2)" -j$(shell nproc) $(QUIET) $(3) modules
endef

module modules: packages
	$(Q)$(MAKE) --no-print-directory build-module

.PHONY: build-module
build-module:
	$(Q)test -n "$(call kernel_release,$(KDIR))" || { echo "qbd: KDIR=$(KDIR) holds no configured kernel (no include/generated/utsrelease.h): install its headers or give KDIR="; exit 2; }
	$(call kbuild,$(KDIR),$(BUILD)/$(call kernel_release,$(KDIR)),W=1)

# No warning is let pass here: lint only has sparse look at it.
stock-modules: stock-packages
	$(Q)set -e; for kdir in $(STOCK_KDIRS); do \
		STRICT=1 $(MAKE) --no-print-directory build-module KDIR=$$kdir; done

uml-module:
	$(Q)scripts/packages.sh build kernel
	$(Q)case "$(UML)" in plain|debug) ;; *) echo "qbd: UML=$(UML): use plain or debug"; exit 2;; esac
	$(Q)kdir=$$(scripts/uml/build-kernel.sh $(UML)) && \
		$(MAKE) --no-print-directory build-uml-module UML=$(UML) UML_KDIR="$$kdir"

.PHONY: build-uml-module
build-uml-module:
	$(call kbuild,$(UML_KDIR),$(BUILD)/uml-$(UML),ARCH=um QBD_KUNIT=1)

# For two processors, with the sanitizer of data races.
.PHONY: kcsan-module
kcsan-module:
	$(Q)scripts/packages.sh build kernel
	$(Q)kdir=$$(scripts/qemu/kcsan-kernel.sh) && \
		$(MAKE) --no-print-directory build-kcsan-module KCSAN_KDIR="$$kdir"

.PHONY: build-kcsan-module
build-kcsan-module:
	$(call kbuild,$(KCSAN_KDIR),$(BUILD)/qemu-kcsan,QBD_KUNIT=1)

tool:
	$(Q)scripts/packages.sh build
	$(Q)test -f userspace/Makefile || { echo "qbd: userspace/Makefile is missing: this is no complete source tree"; exit 2; }
	$(Q)$(MAKE) --no-print-directory $(JOBS) -C userspace

install: tool
	$(Q)$(MAKE) --no-print-directory -C userspace install DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)"

# Kbuild runs depmod only where it finds a System.map, so it is done here; for a
# package (DESTDIR) it is the package's business.
modules_install: module
	$(Q)flock "$(BUILD)/$(call kernel_release,$(KDIR))/.lock" $(MAKE) --no-print-directory \
		-C "$(KDIR)" M="$(BUILD)/$(call kernel_release,$(KDIR))/kmod" \
		$(if $(DESTDIR),INSTALL_MOD_PATH="$(DESTDIR)") INSTALL_MOD_DIR=updates \
		CONFIG_MODULE_SIG_ALL= DEPMOD=true modules_install
	$(Q)$(if $(DESTDIR),,depmod "$(call kernel_release,$(KDIR))")

check:
	$(Q)scripts/packages.sh build headers lint kernel uml qemu bench doc model fuzz coverage
	$(Q)tests/run $(SUITE)

check-debug:
	$(Q)scripts/packages.sh build kernel uml qemu
	$(Q)tests/run vehicles-debug kunit-debug tool-uml-debug cluster-debug faults-debug kcsan-self kcsan

lint:
	$(Q)scripts/packages.sh build headers lint kernel
	$(Q)scripts/lint.sh

# In two steps: which headers there are is known after the packages are.
demo:
	$(Q)scripts/packages.sh build headers kernel qemu
	$(Q)test -x scripts/demo || { echo "qbd: scripts/demo is missing: this is no complete source tree"; exit 2; }
	$(Q)$(MAKE) --no-print-directory prepare-hosts
	$(Q)scripts/demo

CYCLES ?=

# MINUTES has a default for what is simulated, which is not meant here.
cuts_options = $(if $(CYCLES),--cycles $(CYCLES))
random_options = $(if $(filter file,$(origin MINUTES)),,--minutes $(MINUTES))

hosts: hosts-packages
	$(Q)tests/hosts/every $(cuts_options) $(random_options) $(if $(SEED),--seed $(SEED))

hosts-cuts: hosts-packages
	$(Q)tests/hosts/run cuts $(cuts_options) $(if $(SEED),--seed $(SEED)) \
		$(if $(KERNEL),--kernel $(KERNEL))

hosts-random: hosts-packages
	$(Q)tests/hosts/run random $(random_options) $(if $(KINDS),--kinds $(KINDS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(KERNEL),--kernel $(KERNEL))

.PHONY: hosts-packages
hosts-packages:
	$(Q)scripts/packages.sh build headers kernel qemu
	$(Q)$(MAKE) --no-print-directory prepare-hosts

# What the hosts in QEMU run: module and tool.
.PHONY: prepare-hosts
prepare-hosts: tool
	$(Q)$(MAKE) --no-print-directory build-module KDIR=$(lastword $(STOCK_KDIRS))

bench:
	$(Q)scripts/packages.sh build kernel uml bench
	$(Q)test -x scripts/bench/run || { echo "qbd: scripts/bench/run is missing: this is no complete source tree"; exit 2; }
	$(Q)scripts/bench/run --out "$(OUT)"

model:
	$(Q)scripts/packages.sh model
	$(Q)tests/model/run --bound "$(BOUND)"

# Fresh seeds for a minute, or as many or as long as was asked for; or one again. As many of
# the core's simulation, too.
SEED ?=
SEEDS ?=
MINUTES ?= 1
STEPS ?=
TRACE ?=
WITHOUT ?=

sim:
	$(Q)scripts/packages.sh build kernel
	$(if $(SEED),,$(if $(SEEDS),$(Q)tests/core/run --seeds $(SEEDS)))
	$(Q)tests/sim/run $(if $(STEPS),--steps $(STEPS)) $(if $(TRACE),--trace) \
		$(if $(WITHOUT),--without $(WITHOUT)) \
		$(if $(SEED),--seed $(SEED),$(if $(SEEDS),--seeds $(SEEDS),--minutes $(MINUTES)))

sim-bugs:
	$(Q)scripts/packages.sh build kernel
	$(Q)tests/sim/bugs $(if $(SEEDS),--seeds $(SEEDS))

# The same on the whole module in User-mode Linux with virtual time; MINUTES here is real
# time.
MEMBERS ?=
SECONDS ?=
KINDS ?=
WITHOUT ?=

random: tool uml-module
	$(Q)scripts/packages.sh build kernel uml
	$(Q)nice -n 10 tests/random/run $(if $(MEMBERS),--members $(MEMBERS)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(KINDS),--kinds $(KINDS)) $(if $(WITHOUT),--without $(WITHOUT)) \
		$(if $(SEED),--seed $(SEED),$(if $(SEEDS),--seeds $(SEEDS),--minutes $(MINUTES)))

# Members come and go, without end, under a mounted file system.
churn: tool uml-module
	$(Q)scripts/packages.sh build kernel uml
	$(Q)nice -n 10 tests/random/run --churn $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(KINDS),--kinds $(KINDS)) $(if $(WITHOUT),--without $(WITHOUT)) \
		$(if $(SEED),--seed $(SEED),$(if $(SEEDS),--seeds $(SEEDS),--minutes $(MINUTES)))

random-bugs: tool uml-module
	$(Q)scripts/packages.sh build kernel uml
	$(Q)nice -n 10 tests/random/run --self-test

churn-bugs: tool uml-module
	$(Q)scripts/packages.sh build kernel uml
	$(Q)nice -n 10 tests/random/run --churn --self-test

# What becomes of every state that a loss of power may leave.
STATES ?=

crash-states:
	$(Q)scripts/packages.sh build kernel uml
	$(Q)$(MAKE) --no-print-directory tool uml-module UML=plain
	$(Q)tests/crash-states/run $(if $(SEED),--seed $(SEED)) \
		$(if $(MEMBERS),--members $(MEMBERS)) $(if $(STEPS),--steps $(STEPS)) \
		$(if $(STATES),--states $(STATES))

crash-states-bugs:
	$(Q)scripts/packages.sh build kernel uml
	$(Q)$(MAKE) --no-print-directory tool uml-module UML=plain
	$(Q)tests/crash-states/run --bugs $(if $(SEEDS),--seeds $(SEEDS))

coverage:
	$(Q)scripts/packages.sh build kernel coverage
	$(Q)tests/coverage/run $(SEEDS)

# Seconds for each target; one target, or all. Netlink requests are for the module in a
# kernel with KASAN (without: UML=plain), all else is a program here.
TIME ?= 60
TARGET ?=
fuzz_all = $(if $(strip $(TARGET)),,all)
fuzz_programs = $(filter-out netlink,$(TARGET))
fuzz_netlink = $(filter netlink,$(TARGET))
fuzz_uml = $(if $(filter file,$(origin UML)),debug,$(UML))

fuzz:
	$(Q)status=0; \
	$(if $(or $(fuzz_programs),$(fuzz_all)),$(MAKE) --no-print-directory fuzz-programs || status=1;) \
	$(if $(or $(fuzz_netlink),$(fuzz_all)),$(MAKE) --no-print-directory fuzz-netlink || status=1;) \
	exit $$status

.PHONY: fuzz-programs fuzz-netlink
fuzz-programs:
	$(Q)scripts/packages.sh build kernel fuzz
	$(Q)tests/fuzz/run --time "$(TIME)" $(fuzz_programs)

fuzz-netlink: tool
	$(Q)$(MAKE) --no-print-directory uml-module UML=$(fuzz_uml)
	$(Q)scripts/packages.sh build kernel uml
	$(Q)QBD_TEST_SEED="$(SEED)" tests/tool/run-uml --fuzz "$(TIME)" $(fuzz_uml)

fuzz-self-test:
	$(Q)scripts/packages.sh build kernel fuzz
	$(Q)tests/fuzz/run --self-test $(TARGET)

shell:
	$(Q)scripts/packages.sh build headers qemu
	$(Q)scripts/qemu/shell

uml-shell:
	$(Q)scripts/packages.sh build kernel uml
	$(Q)scripts/uml/shell

clean:
	$(Q)rm -rf "$(BUILD)"
	$(Q)if [ -f userspace/Makefile ]; then $(MAKE) --no-print-directory -C userspace clean; fi

help:
	@echo 'qbd: a block device replicated by a quorum of hosts'
	@echo
	@echo '  make                     module and tool (KDIR=DIR: for another kernel)'
	@echo '  make modules KDIR=DIR    the module for the kernel in DIR'
	@echo '  make install             install the tool (DESTDIR=, PREFIX=/usr)'
	@echo '  make modules_install     install the module (DESTDIR=, KDIR=)'
	@echo '  make demo                hosts, a file system, power cuts, a take-over'
	@echo '  make hosts               all on virtual hosts, one after the other: the two below, and the'
	@echo '                           suites hosts, hosts-faults, memory, smp, membership, boot'
	@echo '  make hosts-cuts          power cuts of virtual hosts under load (CYCLES=20, SEED=S,'
	@echo '                           KERNEL=6.1)'
	@echo '  make hosts-random        their other faults: singly, in pairs, at random'
	@echo '                           (MINUTES=10, SEED=S, KINDS=some, KERNEL=6.1)'
	@echo '  make check               every test; SUITE=NAME runs a part of them'
	@echo '  make check-debug         KUnit, tool and cluster with KASAN, lockdep, kmemleak,'
	@echo '                           fault injection; and with KCSAN on two processors'
	@echo '  make bench [OUT=DIR]     latency and failover figures (default build/bench)'
	@echo '  make model [BOUND=large] search models of the protocol with spin'
	@echo '  make sim                 the module in simulated worlds: MINUTES=M or SEEDS=N of'
	@echo '                           fresh seeds (SEEDS=N: and of the core alone, where messages'
	@echo '                           get lost), or SEED=S once more (TRACE=1: with a trace);'
	@echo '                           WITHOUT=KIND,... what is not to happen'
	@echo '  make sim-bugs            do the simulators find each of many deliberate bugs?'
	@echo '  make random              the whole module in virtual time: MINUTES=M, SEEDS=N, SEED=S,'
	@echo '                           and MEMBERS=3..9; at nice 10'
	@echo '  make churn               members join, leave, are replaced and move under a mounted'
	@echo '                           file system: MINUTES=M, SEEDS=N, SEED=S'
	@echo '  make random-bugs         does that find deliberate bugs?'
	@echo '  make churn-bugs          and churn?'
	@echo '  make crash-states        recovery of every state that a power cut may leave: runs of a'
	@echo '                           fresh seed, or SEED=S (MEMBERS=N[w][+1], STEPS=N, STATES=N)'
	@echo '  make crash-states-bugs   does that find deliberate bugs?'
	@echo '  make coverage            which lines and branches the tests in userspace reach'
	@echo '  make fuzz                fuzz what parses bytes of others, and netlink requests'
	@echo '                           (TIME=60 seconds of a processor each, TARGET=NAME)'
	@echo '  make fuzz TARGET=netlink netlink requests to the module, in User-mode Linux (TIME=60 seconds,'
	@echo '                           SEED=S: once more, UML=debug: with KASAN)'
	@echo '  make fuzz-self-test      does fuzzing find deliberate bugs?'
	@echo '  make shell               a shell on host 1 of three hosts in QEMU'
	@echo '  make uml-shell           a shell in a three-member cluster in User-mode Linux'
	@echo '  make uml-module          the module for User-mode Linux (UML=debug: the debug kernel)'
	@echo '  make lint                warnings, sparse, checkpatch, kernel-doc'
	@echo '  make clean               remove build/'
	@echo
	@echo 'Kernels are cached in $${QBD_CACHE:-/var/cache/qbd}; V=1 shows commands.'
	@echo
	@tests/run --list
