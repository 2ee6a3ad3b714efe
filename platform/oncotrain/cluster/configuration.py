"""The configuration of a local cluster, from the templates in `deploy/hadoop/templates`."""

import sys
from string import Template

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.jars import HADOOP
from oncotrain.cluster.kdc import REALM, keytab_of, service

_TEMPLATES = HADOOP / "templates"
_HADOOP_FILES = ("core-site.xml", "hdfs-site.xml", "yarn-site.xml", "capacity-scheduler.xml", "log4j.properties")


def write_hadoop_configuration(cluster: Cluster, node_memory: int) -> None:
    """Fill HADOOP_CONF_DIR; a NodeManager gets `node_memory` MiB to give to containers."""
    values = {purpose.replace("-", "_"): cluster.address(purpose) for purpose in cluster.ports}
    values |= {"uri": cluster.uri, "data": str(cluster.data), "node_memory": str(node_memory)}
    values["kerberos"] = _kerberos(cluster) if cluster.krb5_conf.exists() else ""
    for name in _HADOOP_FILES:
        (cluster.conf / name).write_text(Template((_TEMPLATES / name).read_text()).substitute(values))
    for page in ("hdfs", "datanode"):  # not in the jars from Maven, and the daemons refuse to start without
        (cluster.conf / "webapps" / page).mkdir(parents=True, exist_ok=True)


def _kerberos(cluster: Cluster) -> str:
    values = {"service": f"{service()}@{REALM}", "keytab": str(keytab_of(cluster, service()))}
    return Template((_TEMPLATES / "kerberos.xml").read_text()).substitute(values)


def write_spark_configuration(cluster: Cluster, archive: str) -> None:
    """Fill SPARK_CONF_DIR; `archive` is the URI of Spark's jars in HDFS."""
    template = Template((_TEMPLATES / "spark-defaults.conf").read_text())
    text = template.substitute(archive=archive, python=sys.executable)
    (cluster.spark_conf / "spark-defaults.conf").write_text(text)
