{{/* Names, labels, and what each part of Nephos is and needs. */}}

{{- define "nephos.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Kept short enough that "-notification-agent" and a pod's ordinal still fit into a label. */}}
{{- define "nephos.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "nephos.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nephos.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "nephos.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "nephos.image" -}}
{{- $image := .Values.image -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- with $image.digest -}}@{{ . }}{{- end -}}
{{- end -}}

{{/* What selects the pods of one component: (dict "root" $ "component" "api"). Never changes over an upgrade. */}}
{{- define "nephos.selector" -}}
app.kubernetes.io/name: {{ include "nephos.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object: (dict "root" $ "component" "api"). */}}
{{- define "nephos.labels" -}}
{{ include "nephos.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: nephos
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name of a component's objects: the embedded one has the bare name. */}}
{{- define "nephos.componentName" -}}
{{- $name := include "nephos.fullname" .root -}}
{{- if eq .component "embedded" -}}{{ $name }}{{- else -}}{{ printf "%s-%s" $name .component }}{{- end -}}
{{- end -}}

{{/*
The components of the chosen shape. `values` is the section of values.yaml, `port` where health and metrics are,
`uses` the credentials it reads.
*/}}
{{- define "nephos.components" -}}
{{- $bucket := ternary ", s3-access-key-id, s3-secret-access-key" "" (hasPrefix "s3:" .Values.store.url) -}}
{{- if eq .Values.mode "embedded" }}
embedded: {kind: StatefulSet, command: run, values: embedded, port: 8041, portName: http, uses: [index, bus, state, store, telemetry{{ $bucket }}]}
{{- else }}
api: {kind: Deployment, command: api, values: api, port: 8041, portName: http, uses: [index, store]}
notification-agent: {kind: Deployment, command: notification-agent, values: notificationAgent, port: 8062, portName: observe, uses: [bus, {{ ternary "state" "index" (eq (include "nephos.given" (dict "root" . "credential" "state")) "true") }}, telemetry]}
alarm-evaluator: {kind: Deployment, command: alarm-evaluator, values: alarmEvaluator, port: 8064, portName: observe, uses: [index, store]}
alarm-notifier: {kind: Deployment, command: alarm-notifier, values: alarmNotifier, port: 8065, portName: observe, uses: [index]}
collector: {kind: StatefulSet, command: collector, values: collector, port: 8063, portName: observe, uses: [index, bus, store, telemetry{{ $bucket }}]}
{{- if .Values.pollingAgent.enabled }}
polling-agent: {kind: DaemonSet, command: polling-agent, values: pollingAgent, port: 8061, portName: observe, uses: [bus, telemetry]}
{{- end }}
{{- end }}
{{- end -}}

{{/* "true" if a component keeps data in its volume: (dict "root" $ "component" "collector"). */}}
{{- define "nephos.keepsData" -}}
{{- $bucket := hasPrefix "s3:" .root.Values.store.url -}}
{{- if or (eq .component "embedded") (and (eq .component "collector") (not $bucket)) -}}true{{- end -}}
{{- end -}}

{{/* How many pods a component has at least: (dict "root" $ "values" .Values.api). */}}
{{- define "nephos.replicas" -}}
{{- $autoscaling := .values.autoscaling | default dict -}}
{{- if $autoscaling.enabled -}}{{ $autoscaling.minReplicas }}{{- else -}}{{ .values.replicas | default 1 }}{{- end -}}
{{- end -}}

{{/*
What is secret: the section of values.yaml, the key of its text, the setting that reads it from a file, and what names
its key in an existing Secret if that is not `existingSecretKey`.
*/}}
{{- define "nephos.credentials" -}}
index: {section: index, value: url, variable: NEPHOS__INDEX_FILE}
bus: {section: bus, value: url, variable: NEPHOS__BUS_FILE}
state: {section: state, value: url, variable: NEPHOS__STATE_FILE}
store: {section: store, value: token, variable: NEPHOS__STORE__TOKEN_FILE}
telemetry: {section: telemetry, value: secret, variable: NEPHOS__PUBLISHER__TELEMETRY_SECRET_FILE}
{{- if hasPrefix "s3:" .Values.store.url }}
s3-access-key-id: {section: s3, value: accessKeyId, variable: NEPHOS__STORE__ACCESS_KEY_ID_FILE, secretKey: accessKeyIdSecretKey}
s3-secret-access-key: {section: s3, value: secretAccessKey, variable: NEPHOS__STORE__SECRET_ACCESS_KEY_FILE, secretKey: secretAccessKeySecretKey}
{{- end }}
{{- end -}}

{{/* "true" if a credential is given in either way: (dict "root" $ "credential" "index"). */}}
{{- define "nephos.given" -}}
{{- $about := get (fromYaml (include "nephos.credentials" .root)) .credential -}}
{{- $section := get .root.Values $about.section -}}
{{- if or $section.existingSecret (get $section $about.value) -}}true{{- end -}}
{{- end -}}

{{/* Name of the Secret this chart makes of credentials that are given as values. */}}
{{- define "nephos.credentialsName" -}}
{{ include "nephos.fullname" . }}-credentials
{{- end -}}
