# make setup builds .venv and probes every component; everything else builds what is missing first.
.PHONY: setup environment demo test test-cluster test-federation test-faults lint format doctor lock hadoop-jars clean
.PHONY: cluster-up cluster-down cluster-status dist

BIN := .venv/bin
SOURCES := platform jobs tests deploy

# Spark's JVMs of demo and tests live for seconds: compiled quickly, with the classes that setup.sh has kept.
export SPARK_SUBMIT_OPTS ?= -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -XX:SharedArchiveFile=$(CURDIR)/.venv/spark.jsa -Xlog:cds*=off

setup: environment doctor

environment:
	@deploy/setup.sh

doctor: environment
	@$(BIN)/oncotrain doctor

demo: environment
	@$(BIN)/oncotrain demo

test: environment
	$(BIN)/pytest -m 'not cluster and not network and not faults'

# On real daemons: HDFS and YARN, each a JVM, brought up and taken down by the tests.
test-cluster: environment
	$(BIN)/pytest -m cluster tests/cluster

# A coordinator and three hospitals in network namespaces, their line captured; needs root.
test-federation: environment
	$(BIN)/pytest -m 'network and not faults' tests/network

test-faults: environment
	$(BIN)/pytest -m faults

# A real Hadoop on this machine: make cluster-up SITE=chu-grenoble
SITE := centre
cluster-up cluster-down cluster-status: environment
	@$(BIN)/oncotrain cluster $(@:cluster-%=%) --site $(SITE)

# The package as a zip for spark-submit --py-files.
dist: environment
	@$(BIN)/oncotrain dist

lint: environment
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy -p oncotrain
	$(BIN)/lint-imports

format: environment
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# After a change of deploy/requirements.in.
lock:
	cd deploy && ../$(BIN)/uv pip compile --quiet --no-header --python-version 3.11 \
	    --output-file requirements.lock requirements.in

hadoop-jars: environment
	@$(BIN)/oncotrain cluster jars

# What was generated in the checkout; .venv and the cache outside stay.
clean:
	rm -rf demo build dist spark-warehouse metastore_db derby.log .coverage
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find platform jobs tests deploy -name __pycache__ -type d -prune -exec rm -rf {} +
