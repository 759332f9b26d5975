"""Reads OpenMetrics text from standard input with Prometheus' own strict parser, and prints what it found as JSON:
{family: {"type": …, "samples": [[name, labels, value], …]}}."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

families = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    samples = [[sample.name, sample.labels, float(sample.value)] for sample in family.samples]
    families[family.name] = {"type": family.type, "samples": samples}
print(json.dumps(families))
