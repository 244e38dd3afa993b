# takod: one plain GNU Makefile. README.md says which targets a newcomer needs.
#
#   make deps      what building and running need (apt, as root)
#   make           the programs, in build/
#   make demo      from nothing to jobs that ran under gVisor
#   make check     every test; T=name runs those whose name contains it
#   make asan      the same on an ASan+UBSan build, in build-asan/
#   make fuzz      one fuzz target T for S seconds
#   make leaks     many jobs on a build with LeakSanitizer
#   make coverage  what the fuzz corpora run of each parser
#   make vm        tests T in a Debian with its own kernel and cgroup v2
#   make soak      faults at random for SECONDS or ROUNDS, from SEED on
#   make bench     the figures, as ratios to floors of the same run
#   make lint      format, manual pages, warnings as errors
#   make analyze   gcc -fanalyzer, clang-tidy, cppcheck (4 minutes)
#   make sbom      what the programs are made of, CycloneDX, in build/
#   make deb       a Debian package, in build/deb
#   make install   DESTDIR= PREFIX=/usr/local
SHELL = /bin/bash
PREFIX ?= /usr/local
LIBEXECDIR ?= $(PREFIX)/libexec/takod
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
DATADIR ?= $(PREFIX)/share/takod

B ?= build
CC ?= gcc
PROGRAMS = takod tako-api tako-worker tako-init takoctl

PKGS = libevent_core yaml-0.1 libpq sqlite3 libseccomp libcap-ng msgpack \
	libcurl jansson libbsd libmd libarchive libssl libcrypto
pkg = $(shell pkg-config --libs $(1) 2>/dev/null)

# A flag, if the compiler or linker takes it (GCC 12 lacks some).
probe = $(shell echo 'int main(void) { return 0; }' | \
	$(CC) $(1) -Werror -xc - -o /dev/null 2>/dev/null && echo $(1))

WARN := -Wall -Wextra -Wformat=2 -Wshadow -Wvla -Walloca -Wcast-qual \
	-Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	-Wimplicit-fallthrough -Wnull-dereference -Wconversion \
	-Wsign-conversion $(call probe,-Wtrampolines) \
	$(call probe,-Wbidi-chars=any) \
	-Werror=format-security -Werror=implicit \
	-Werror=incompatible-pointer-types -Werror=int-conversion
WERROR ?=
ifdef SAN
HARDEN := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer -DSANDBOX_NULL \
	$(if $(LIBFUZZER),-fsanitize=fuzzer-no-link)
else ifdef FAILPOINTS
HARDEN := -O0
else ifdef COVERAGE
HARDEN := -O0 --coverage
else
HARDEN := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 \
	-fstack-protector-strong -fstack-clash-protection \
	$(call probe,-fcf-protection=full) -ftrivial-auto-var-init=zero \
	$(call probe,-fzero-call-used-regs=used-gpr) \
	$(call probe,-fstrict-flex-arrays=3) \
	$(call probe,-fzero-init-padding-bits=all) \
	$(call probe,-mbranch-protection=standard)
endif
ifdef FAILPOINTS
# For regress/fault: moments at which a test ends a process (failpoint.h).
HARDEN += -DFAILPOINTS
endif
# Two builds in different folders are the same, byte for byte.
SAME := -ffile-prefix-map='$(CURDIR)'=.
CFLAGS_ALL := -std=gnu11 -g $(WARN) $(WERROR) $(HARDEN) \
	-fno-delete-null-pointer-checks -fno-strict-overflow \
	-fno-strict-aliasing -fexceptions -fPIE $(SAME) -D_GNU_SOURCE \
	-I. -Icommon \
	-DPATH_LIBEXEC='"$(LIBEXECDIR)"' -DPATH_DATA='"$(DATADIR)"' \
	$(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack \
	-Wl,-z,separate-code -Wl,-z,defs -Wl,--as-needed \
	-Wl,--no-copy-dt-needed-entries -Wl,--fatal-warnings \
	$(if $(SAN),-fsanitize=address$(comma)undefined) \
	$(if $(COVERAGE),--coverage) $(LDFLAGS)
comma = ,

# What each program links. Only the parent has libraries that open
# connections and files late (libcurl, libpq, libsqlite3); takoctl, which tries
# what the parent does.
LIBS_COMMON = $(call pkg,libevent_core msgpack libseccomp libcap-ng libbsd libmd) -lm
LIBS_takod = $(call pkg,yaml-0.1 libpq sqlite3 libcurl jansson libssl libcrypto)
LIBS_tako-api = $(call pkg,jansson libssl libcrypto)
LIBS_tako-worker =
LIBS_takoctl = $(LIBS_takod) $(call pkg,libarchive)

srcs = $(sort $(wildcard $(1)/*.c))
objs = $(patsubst %.c,$(B)/obj/%.o,$(1))
CONF_SRCS = $(call srcs,common/conf)
LIB_common = $(B)/libcommon.a
LIB_conf = $(B)/libconf.a

.PHONY: all analyze sbom install-completions python install-python install-service deps \
	deb deb-deps check-deps demo check vm asan bench lint install uninstall clean format \
	regress-programs fuzz-long failpoints soak fuzz fuzz-deps \
	coverage coverage-programs leaks FORCE
all: $(PROGRAMS:%=$(B)/%) $(B)/tako-vm

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -I$(<D) -c -o $@ $<

# The page at /docs is part of the program, and the installer of packages.
$(B)/obj/tako-api/docs.o: $(wildcard tako-api/page/*)
$(B)/obj/takod/layer_build.o: takod/installer.py

# Objects are made anew when the flags change.
FLAGS = $(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL)
$(B)/flags: FORCE
	@mkdir -p $(B)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@

$(B)/libcommon.a: $(call objs,$(call srcs,common))
$(B)/libconf.a: $(call objs,$(CONF_SRCS))
$(B)/lib%.a:
	@rm -f $@
	ar rcs $@ $^

# tako-vm doctor tries what takod does, with takod's own files.
USES_takoctl = $(B)/libtakod.a

# Everything of a program but its main.c, so that a test can link it.
define program
$(B)/lib$(1).a: $(call objs,$(filter-out $(1)/main.c,$(call srcs,$(1))))
$(B)/$(1): $(B)/obj/$(1)/main.o $(B)/lib$(1).a $(USES_$(1)) $(LIB_conf) $(LIB_common)
	$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_ALL) -Wl,-Map=$$@.map -o $$@ $$^ \
	    $$(LIBS_$(1)) $$(LIBS_COMMON)
endef
$(foreach p,takod tako-api tako-worker takoctl,$(eval $(call program,$(p))))

# PID 1 of a container: static, so that it runs in any image.
INIT_HARDEN := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 \
	-fstack-protector-strong -fstack-clash-protection \
	$(call probe,-fcf-protection=full) -ftrivial-auto-var-init=zero
INIT_FLAGS = -std=gnu11 -g $(WARN) $(WERROR) $(INIT_HARDEN) $(SAME) \
	-fno-strict-aliasing -fPIE -D_GNU_SOURCE -Icommon
INIT_LDFLAGS = -static-pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack \
	-Wl,-z,separate-code -Wl,--fatal-warnings
$(B)/tako-init: $(call srcs,tako-init) common/stream.c common/stream.h $(B)/flags
	@mkdir -p $(B)
	$(CC) $(INIT_FLAGS) $(INIT_LDFLAGS) -Wl,-Map=$@.map -o $@ \
	    $(filter %.c,$^) -lmd

$(B)/tako-vm: $(B)/takoctl
	ln -sf takoctl $@

# ---- tests ------------------------------------------------------------------
# A unit test or fuzz target may use any function of any program.
TEST_LIBS = $(B)/libtakod.a $(B)/libtako-api.a $(B)/libtako-worker.a \
	$(B)/libtakoctl.a $(LIB_conf) $(LIB_common)
TEST_LDLIBS = -Wl,--start-group $(TEST_LIBS) -Wl,--end-group \
	$(LIBS_takoctl) $(LIBS_COMMON) \
	$(call pkg,cmocka libevent libevent_openssl)
TEST_CFLAGS = $(CFLAGS_ALL) -I. -Wno-missing-prototypes
UNIT = $(patsubst %.c,$(B)/%,$(call srcs,regress/unit))
FUZZ = $(patsubst %.c,$(B)/%,$(filter-out %/replay.c,$(call srcs,regress/fuzz)))
TOOLS = $(patsubst %.c,$(B)/%,$(call srcs,regress/tools))

$(B)/regress/unit/%: regress/unit/%.c $(TEST_LIBS)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -MMD -MP $(LDFLAGS_ALL) -o $@ $(filter regress/%.c,$^) \
	    $(TEST_LDLIBS)
# Its cases, a file for each subject.
$(B)/regress/unit/store_conformance: $(call srcs,regress/unit/store)
$(B)/regress/tools/%: regress/tools/%.c $(TEST_LIBS)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(TEST_LDLIBS)
# Its main is libFuzzer's or ours.
FUZZ_MAIN = $(if $(LIBFUZZER),-fsanitize=fuzzer,regress/fuzz/replay.c)
$(B)/regress/fuzz/%: regress/fuzz/%.c regress/fuzz/replay.c $(TEST_LIBS)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) -MMD -MP $(LDFLAGS_ALL) -o $@ $< \
	    $(FUZZ_MAIN) $(TEST_LDLIBS)

# Targets that are fuzzed for long, with the sanitizers and with no more of
# takod than they use.
FUZZ_LONG = $(addprefix $(B)/san/regress/fuzz/,conf words)
fuzz-long:
	+@$(MAKE) --no-print-directory B=$(B)/san SAN=1 \
	    TEST_LIBS='$(B)/san/libconf.a $(B)/san/libcommon.a' $(FUZZ_LONG)

# One target for S seconds, with the sanitizers: by libFuzzer where clang has
# it, which keeps what it finds in build/fuzz; else by mutations of ours.
CLANG = $(shell echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	clang -fsanitize=fuzzer,address -xc - -o /dev/null 2>/dev/null && \
	echo clang)
FUZZ_DEPS = clang libclang-rt-dev
fuzz-deps: deps
	$(call apt,$(FUZZ_DEPS))
fuzz: check-deps
	-@$(MAKE) --no-print-directory -s fuzz-deps
	@[ -e 'regress/fuzz/$(T).c' ] || \
	    { echo 'make fuzz T=target S=seconds; targets:' \
	    $(notdir $(FUZZ)) >&2; exit 2; }
	+@$(MAKE) --no-print-directory -s -j2 SAN=1 B=$(B)/fuzz \
	    $(if $(CLANG),CC=clang LIBFUZZER=1) $(B)/fuzz/regress/fuzz/$(T)
	@regress/fuzz/long --build $(B)/fuzz --target $(T) \
	    --seconds $(or $(S),60) $(if $(CLANG),--libfuzzer)

# Lines of each parser that its corpus runs.
coverage: check-deps coverage-programs
	@regress/fuzz/coverage --build $(B)/coverage

coverage-programs:
	+@$(MAKE) --no-print-directory -s COVERAGE=1 SAN= B=$(B)/coverage \
	    $(patsubst $(B)/%,$(B)/coverage/%,$(FUZZ))

regress-programs: all $(UNIT) $(FUZZ) $(TOOLS) fuzz-long failpoints \
	coverage-programs

# The daemon once more, with failpoints: regress/fault alone uses it.
FP = $(B)/failpoints
failpoints:
	+@$(MAKE) --no-print-directory -s B=$(FP) FAILPOINTS=1 \
	    $(addprefix $(FP)/,takod tako-api tako-worker tako-init)

BUILD_DEPS = build-essential pkg-config libevent-dev libyaml-dev libpq-dev \
	libsqlite3-dev libseccomp-dev libcap-ng-dev libmsgpack-dev \
	libcurl4-openssl-dev libjansson-dev libbsd-dev libmd-dev \
	libarchive-dev libssl-dev
DEB_DEPS = debhelper dh-python fakeroot
RUN_DEPS = ca-certificates mmdebstrap python3-pip-whl runsc runc iproute2 \
	nftables passt curl jq
CHECK_DEPS = libcmocka-dev postgresql docker.io mandoc clang-format curl \
	python3-pip python3-pytest python3-yaml strace \
	zsh lintian systemd chromium faketime libpython3.11-testsuite
export DEBIAN_FRONTEND = noninteractive
# Nothing is fetched when all is there already.
apt = @missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(1) \
	2>&1 | grep -v '^installed ' || true); \
	if [ -n "$$missing" ]; then \
		echo "installing: $(1)"; \
		apt-get update -qq && apt-get install -y -qq \
		    --no-install-recommends $(1) >/dev/null; \
	fi

deps:
	$(call apt,$(BUILD_DEPS) $(RUN_DEPS))

deb-deps:
	$(call apt,$(BUILD_DEPS) $(DEB_DEPS))

check-deps: deps deb-deps
	$(call apt,$(CHECK_DEPS))

demo: deps
	@$(MAKE) --no-print-directory -s -j2 all
	@regress/demo $(B)

check: check-deps
	@$(MAKE) --no-print-directory -s -j2 regress-programs
	@regress/run --build $(B) $(if $(T),--only '$(T)')

# Tests in a virtual machine: Debian's kernel, systemd, cgroup v2 alone.
VM_DEPS = qemu-system-x86 e2fsprogs openssh-client
vm: check-deps
	$(call apt,$(VM_DEPS))
	@$(MAKE) --no-print-directory -s -j2 regress-programs
	@regress/vm/run --build $(B) --only '$(T)' --packages '$(BUILD_DEPS) \
	    $(DEB_DEPS) $(RUN_DEPS) $(filter-out chromium,$(CHECK_DEPS))'

asan: check-deps
	@$(MAKE) --no-print-directory check B=build-asan SAN=1

# Many jobs on a build with LeakSanitizer, in every process: JOBS=n of them.
WRAP = _exit imsgev_compose sandbox_spawn sandbox_enter
leaks: check-deps
	@mkdir -p $(B)/leaks
	@$(CC) $(CFLAGS_ALL) -c -o $(B)/leaks/leaks.o regress/leaks/leaks.c
	+@$(MAKE) --no-print-directory -s -j2 B=$(B)/leaks SAN=1 \
	    LDFLAGS='$(WRAP:%=-Wl,--wrap=%) $(B)/leaks/leaks.o' all
	@regress/leaks/run --build $(B)/leaks $(if $(JOBS),--jobs $(JOBS))

soak: check-deps
	@$(MAKE) --no-print-directory -s -j2 regress-programs
	@regress/fault/random_faults.py --build $(B) \
	    --seconds $(or $(SECONDS),600) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	    $(if $(PAIR),--pair $(PAIR)) $(if $(SEED),--seed $(SEED))

# T=name: those whose name contains it; ROUNDS: of each; RECORDS: to be read
# among; JOBS: of a rate; ROW: jobs in a row. Left in bench/.
BENCH_DEPS = python3-matplotlib linux-perf
bench: check-deps
	$(call apt,$(BENCH_DEPS))
	@$(MAKE) --no-print-directory -s -j2 regress-programs
	@regress/bench/run --build $(B) --out bench $(if $(T),--only '$(T)') \
	    $(if $(ROUNDS),--rounds $(ROUNDS)) \
	    $(if $(RECORDS),--records $(RECORDS)) \
	    $(if $(JOBS),--jobs $(JOBS)) $(if $(ROW),--row $(ROW))

MAN = $(wildcard man/*.[1-9])
C_FILES = $(wildcard common/*.[ch] common/conf/*.[ch] takod/*.[ch] \
	tako-api/*.[ch] tako-worker/*.[ch] tako-init/*.[ch] takoctl/*.[ch] \
	regress/*/*.[ch] regress/unit/store/*.[ch])
lint: check-deps
	clang-format --dry-run --Werror $(C_FILES)
	@# Pages that refer to each other before they are installed are fine.
	! mandoc -Tlint -Wstyle $(MAN) 2>/dev/null | \
	    grep -v 'referenced manual not found'
	$(MAKE) -s -j2 B=build-lint WERROR=-Werror all
	@rm -rf build-lint

sbom: all
	@regress/sbom --build $(B)

ANALYZE_DEPS = clang-tidy cppcheck
analyze: deps
	$(call apt,$(ANALYZE_DEPS))
	@regress/analyze --build build-analyze \
	    --flags '$(shell pkg-config --cflags $(PKGS))'

format:
	clang-format -i $(C_FILES)

EXAMPLES = $(filter-out %/takod.config.yaml,$(wildcard etc/*.yaml etc/*.conf))
install: all
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) \
	    $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DATADIR) \
	    $(DESTDIR)$(MANDIR)/man{1,5,7,8}
	install -m 755 $(B)/takod $(DESTDIR)$(SBINDIR)/
	install -m 755 $(B)/takoctl $(DESTDIR)$(SBINDIR)/
	ln -sf ../sbin/takoctl $(DESTDIR)$(BINDIR)/tako-vm
	install -m 755 $(B)/tako-api $(B)/tako-worker $(B)/tako-init \
	    $(DESTDIR)$(LIBEXECDIR)/
	install -m 644 etc/seccomp.json $(EXAMPLES) $(DESTDIR)$(DATADIR)/
	$(foreach s,1 5 7 8,install -m 644 $(wildcard man/*.$(s)) \
	    $(DESTDIR)$(MANDIR)/man$(s)/ && ) true

# A wheel needs Debian's python3-pip, python3-setuptools and python3-wheel.
python:
	@mkdir -p $(B)
	rm -rf $(B)/python && cp -r python $(B)/python
	/usr/bin/python3 -m pip wheel -q --no-deps --no-build-isolation --no-index \
	    -w $(B) $(B)/python
	@ls $(B)/tako_vm-*.whl

PYTHONDIR = /usr/lib/python3/dist-packages
install-python:
	install -d $(DESTDIR)$(PYTHONDIR)/tako_vm
	install -m 644 python/tako_vm/*.py python/tako_vm/py.typed \
	    $(DESTDIR)$(PYTHONDIR)/tako_vm/

# For systemd: the units, the users and the folders of a packaged takod, and
# the file that it is started with, where there is none yet.
SYSTEMDDIR = /lib/systemd/system
CONFIG = $(DESTDIR)/etc/tako_vm/config.yaml
install-service:
	install -d $(DESTDIR)$(SYSTEMDDIR) $(DESTDIR)$(PREFIX)/lib/sysusers.d \
	    $(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(dir $(CONFIG))
	for u in takod takod-image; do \
		sed 's|@SBINDIR@|$(SBINDIR)|' etc/$$u.service \
		    >$(DESTDIR)$(SYSTEMDDIR)/$$u.service || exit 1; \
	done
	install -m 644 etc/takod.socket $(DESTDIR)$(SYSTEMDDIR)/
	[ -e $(CONFIG) ] || install -m 644 etc/takod.config.yaml $(CONFIG)
	install -m 644 etc/takod.sysusers \
	    $(DESTDIR)$(PREFIX)/lib/sysusers.d/takod.conf
	install -m 644 etc/takod.tmpfiles \
	    $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/takod.conf

COMPLETIONS = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSH_FUNCTIONS = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
install-completions: $(B)/takoctl $(B)/tako-vm
	install -d $(COMPLETIONS) $(ZSH_FUNCTIONS)
	for p in takoctl tako-vm; do \
		$(B)/$$p completion bash >$(COMPLETIONS)/$$p && \
		$(B)/$$p completion zsh >$(ZSH_FUNCTIONS)/_$$p || exit 1; \
	done

# What install and the three others put there, by name: the configuration and
# what else is in a folder stay, and so does a folder that is not empty then.
gone = $(addprefix $(DESTDIR)$(1)/,$(2))
uninstall:
	rm -f $(call gone,$(SBINDIR),takod takoctl) \
	    $(call gone,$(BINDIR),tako-vm) \
	    $(call gone,$(LIBEXECDIR),tako-api tako-worker tako-init) \
	    $(call gone,$(DATADIR),$(notdir etc/seccomp.json $(EXAMPLES))) \
	    $(foreach m,$(notdir $(MAN)),$(call \
	        gone,$(MANDIR)/man$(subst .,,$(suffix $(m))),$(m))) \
	    $(call gone,$(PYTHONDIR)/tako_vm,$(notdir \
	        $(wildcard python/tako_vm/*.py) py.typed)) \
	    $(call gone,$(SYSTEMDDIR),takod.service takod.socket \
	        takod-image.service) \
	    $(call gone,$(PREFIX)/lib/sysusers.d,takod.conf) \
	    $(call gone,$(PREFIX)/lib/tmpfiles.d,takod.conf) \
	    $(addprefix $(COMPLETIONS)/,takoctl tako-vm) \
	    $(addprefix $(ZSH_FUNCTIONS)/_,takoctl tako-vm)
	rm -rf $(call gone,$(PYTHONDIR)/tako_vm,__pycache__)
	rmdir $(call gone,,$(LIBEXECDIR) $(DATADIR) $(PYTHONDIR)/tako_vm) \
	    2>/dev/null || true

# A Debian package in build/deb; dpkg-buildpackage writes beside its source,
# so it is given a copy, and nothing of this make: a B of the command line
# would have it build there.
SOURCES = Makefile README.md SECURITY.md HACKING.md common debian etc man \
	python tako-api tako-init tako-worker takoctl takod
deb: deb-deps
	rm -rf $(B)/deb
	mkdir -p $(B)/deb/source
	cp -r $(SOURCES) $(B)/deb/source/
	cd $(B)/deb/source && env -u MAKEFLAGS -u MFLAGS -u B \
	    dpkg-buildpackage -J -b -us -uc >../log 2>&1 || \
	    { tail -n 30 ../log >&2; exit 1; }
	rm -rf $(B)/deb/source
	@ls $(B)/deb/takod_*.deb

clean:
	rm -rf build build-asan build-lint build-analyze

-include $(shell find $(B)/obj $(B)/regress -name '*.d' 2>/dev/null)
