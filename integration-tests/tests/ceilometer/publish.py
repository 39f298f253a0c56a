"""Publishes samples to the Gnocchi API at a URL as Ceilometer's notification agent does: publish.py URL FOLDER SAMPLES.

Everything is Ceilometer's: its configuration, its upgrade of resource types, its sample class, its `gnocchi://` publisher with
its own `gnocchi_resources.yaml`. Of a cloud only Keystone is missing: the service credentials are of the type
`gnocchi-basic`, which needs none. SAMPLES is JSON: a list of batches, each a list of samples as the keyword arguments of
Ceilometer's class.
"""
import json
import os
import sys

from ceilometer import gnocchi_client, sample, service
from ceilometer.publisher.gnocchi import GnocchiPublisher
from oslo_utils import netutils

url, folder, samples = sys.argv[1:]
configuration = os.path.join(folder, "ceilometer.conf")
with open(configuration, "w", encoding="utf-8") as target:
    target.write(f"""
[service_credentials]
auth_type = gnocchi-basic
user = admin
endpoint = {url}
""")
conf = service.prepare_service(argv=["ceilometer"], config_files=[configuration])
gnocchi_client.upgrade_resource_types(conf)
# Whose samples would be left out as Gnocchi's own is asked of Keystone.
publisher = GnocchiPublisher(conf, netutils.urlsplit("gnocchi://?enable_filter_project=false"))
with open(samples, encoding="utf-8") as source:
    for batch in json.load(source):
        publisher.publish_samples([sample.Sample(**arguments) for arguments in batch])
