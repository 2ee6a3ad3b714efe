#!/usr/bin/env bash
# Build .venv: Debian packages where allowed, pinned Python packages, patched wheels, oncotrain itself, Hadoop's jars.
# Does nothing when nothing that it depends on has changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
cache=${ONCOTRAIN_CACHE:-$HOME/.cache/oncotrain}
stamp=.venv/oncotrain-setup
inputs=(deploy/setup.sh deploy/debian-packages.txt deploy/requirements.lock deploy/wheels/*.py deploy/hadoop/pom.xml
        deploy/spark_classes.py setup.cfg pyproject.toml)

step() { printf '== %s\n' "$*" >&2; }
inputs_hash() { cat "${inputs[@]}" | sha256sum | cut -d' ' -f1; }

if [[ -x $python && -f $stamp && $(<"$stamp") == "$(inputs_hash)" ]]; then
    exit 0
fi

step 'Debian packages'
missing=()
while read -r package check; do
    [[ -z $package || $package == '#'* ]] || bash -c "$check" >/dev/null 2>&1 </dev/null || missing+=("$package")
done <deploy/debian-packages.txt
if ((${#missing[@]})); then
    if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
        apt-get -qq update </dev/null || true
        for package in "${missing[@]}"; do
            DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$package" </dev/null >&2 ||
                step "could not install $package"
        done
    else
        step "missing; type: sudo apt-get install ${missing[*]}"
    fi
fi

step 'Python packages'
command -v python3.11 >/dev/null || { step 'python3.11 is not on PATH: install Python 3.11 and try again'; exit 1; }
[[ -x $python ]] || python3.11 -m venv .venv
uv=$(grep '^uv==' deploy/requirements.lock)
$python -m pip install --quiet --disable-pip-version-check "$uv"
export UV_CACHE_DIR=$cache/uv
mkdir -p "$UV_CACHE_DIR"
# uv links files out of its cache; links do not cross filesystems.
[[ $(stat -c %d "$UV_CACHE_DIR") == "$(stat -c %d .venv)" ]] || export UV_LINK_MODE=copy
# uv writes no bytecode by itself, and every Spark worker, rank and Flower client would compile torch again.
export UV_COMPILE_BYTECODE=1
install() { .venv/bin/uv pip install --python $python "$@"; }
install --requirement deploy/requirements.lock

for name in petastorm horovod; do
    step "$name"
    wheel=$($python deploy/wheels/build.py $name)
    install --quiet --no-deps --reinstall "$wheel"
done

step 'oncotrain'
install --quiet --no-deps --no-build-isolation --editable .

# uv keeps every unpacking of a source package that it ever made: pyspark's are 1.4 GB each.
.venv/bin/uv cache prune --quiet

# Spark's JVM starts in half the time with its classes in an archive, which holds for these jars in this place alone.
step "Spark's classes"
PATH=$PWD/.venv/bin:$PATH SPARK_SUBMIT_OPTS="-XX:ArchiveClassesAtExit=$PWD/.venv/spark.jsa -Xlog:cds*=off" \
    spark-submit deploy/spark_classes.py &>.venv/spark_classes.log || step 'going on without them'

step 'Hadoop jars (for the cluster suites only)'
.venv/bin/oncotrain cluster jars || step 'going on without them'

inputs_hash >"$stamp"
