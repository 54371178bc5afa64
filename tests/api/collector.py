"""Hears what an OpenTelemetry exporter sends over HTTP and writes each span as a line of JSON.

python collector.py PORT. The messages are read by the classes that OpenTelemetry itself publishes.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


def plain(value):
    return getattr(value, value.WhichOneof("value"))


def spans(request):
    for of_resource in request.resource_spans:
        resource = {pair.key: plain(pair.value) for pair in of_resource.resource.attributes}
        for scope in of_resource.scope_spans:
            for span in scope.spans:
                yield {
                    "service": resource.get("service.name"),
                    "instance": resource.get("service.instance.id"),
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "took_ns": span.end_time_unix_nano - span.start_time_unix_nano,
                    "tells": {pair.key: plain(pair.value) for pair in span.attributes},
                    "failed": span.status.message,
                }


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
            self.send_error(404)
            return
        for span in spans(ExportTraceServiceRequest.FromString(body)):
            print(json.dumps(span), flush=True)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Collector).serve_forever()
