{{/* The entries of the ConfigMap. JSON texts are TOML texts as well. */}}
{{- define "nephos.config" -}}
{{- $values := .Values -}}
nephos.toml: |
  data_dir = "/var/lib/nephos"

  [log]
  level = {{ $values.log.level | toJson }}
  format = {{ $values.log.format | toJson }}

  [api]
  listen = "0.0.0.0:8041"
  auth_mode = {{ $values.api.authMode | toJson }}
  allow_passwordless = {{ $values.api.allowPasswordless }}
  max_limit = {{ int64 $values.api.maxLimit }}
  max_body = {{ $values.api.maxBody | toJson }}
  operation_timeout = {{ $values.api.operationTimeout | toJson }}
  enable_proxy_headers_parsing = {{ $values.api.proxyHeaders }}
  trusted_proxies = {{ $values.api.trustedProxies | toJson }}
  {{- if $values.api.policy }}
  policy_file = "policy.yaml"
  {{- end }}
  {{- if $values.api.aodhPort }}

  [api.aodh]
  listen = "0.0.0.0:8042"
  {{- end }}
  {{- with $values.api.statsd }}
  {{- if .resourceId }}

  [statsd]
  listen = "0.0.0.0:8125"
  resource_id = {{ .resourceId | toJson }}
  creator = {{ .creator | toJson }}
  flush_delay = {{ .flushDelay | toJson }}
  {{- end }}
  {{- end }}

  [limits]
  requests_per_second = {{ int64 $values.api.limits.requestsPerSecond }}
  points_per_second = {{ int64 $values.api.limits.pointsPerSecond }}
  metrics_per_project = {{ int64 $values.api.limits.metricsPerProject }}
  resources_per_project = {{ int64 $values.api.limits.resourcesPerProject }}

  [cors]
  allowed_origin = {{ $values.api.corsAllowedOrigins | toJson }}

  [store]
  url = {{ $values.store.url | toJson }}
  {{- if hasPrefix "s3:" $values.store.url }}
  {{- with $values.s3.endpoint }}
  endpoint = {{ . | toJson }}
  {{- end }}
  region = {{ $values.s3.region | toJson }}
  allow_http = {{ $values.s3.allowHttp }}
  cache = {{ $values.s3.cache | toJson }}
  {{- end }}
  shared = {{ $values.store.shared }}
  min_free = {{ $values.store.minFree | toJson }}

  [polling]
  {{- if eq $values.mode "embedded" }}
  enabled = {{ $values.hostMetrics.enabled }}
  {{- end }}
  batch_size = {{ int64 $values.polling.batchSize }}
  {{- if $values.files.polling }}
  config = "polling.yaml"
  {{- end }}
  {{- if $values.files.pipeline }}

  [pipeline]
  config = "pipeline.yaml"
  {{- end }}

  [archive_policy]
  create_defaults = {{ $values.archivePolicy.createDefaults }}

  [collector]
  creator = {{ $values.collector.creator | toJson }}
  {{- if $values.files.resources }}
  resources = "gnocchi_resources.yaml"
  {{- end }}

  [evaluator]
  {{- with $values.alarmEvaluator.interval }}
  interval = {{ . | toJson }}
  {{- end }}
  record_history = {{ $values.alarmEvaluator.recordHistory }}

  [notifier]
  timeout = {{ $values.alarmNotifier.timeout | toJson }}
  ssl_verify = {{ $values.alarmNotifier.sslVerify }}
  {{- if or $values.retention.resourceCleanupAfter $values.retention.historyCleanupAfter }}

  [retention]
  {{- with $values.retention.resourceCleanupAfter }}
  resource_cleanup_after = {{ . | toJson }}
  {{- end }}
  {{- with $values.retention.historyCleanupAfter }}
  history_cleanup_after = {{ . | toJson }}
  {{- end }}
  {{- end }}
{{- with $values.api.policy }}
policy.yaml: |
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.files.polling }}
polling.yaml: |
  {{- . | nindent 2 }}
{{- end }}
{{- with $values.files.pipeline }}
pipeline.yaml: |
  {{- . | nindent 2 }}
{{- end }}
{{- with $values.files.resources }}
gnocchi_resources.yaml: |
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}
