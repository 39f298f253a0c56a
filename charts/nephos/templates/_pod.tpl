{{/*
The pod template of a component: (dict "root" $ "component" "api" "about" <its entry of nephos.components>).
*/}}
{{- define "nephos.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $own := get $values .about.values -}}
{{- $polls := or (eq .component "polling-agent") (and (eq .component "embedded") $values.hostMetrics.enabled) -}}
{{- $stores := eq (include "nephos.keepsData" (dict "root" .root "component" .component)) "true" -}}
{{- $serves := eq .about.portName "http" -}}
{{- $labels := dict "root" .root "component" .component -}}
metadata:
  labels:
    {{- include "nephos.labels" $labels | nindent 4 }}
  annotations:
    checksum/config: {{ include "nephos.config" .root | sha256sum }}
    checksum/credentials: {{ include "nephos.credentialTexts" .root | sha256sum }}
    {{- with $own.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "nephos.serviceAccountName" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- if $polls }}
  hostPID: true
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $own.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $own.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if gt (int (include "nephos.replicas" (dict "values" $own))) 1 }}
  topologySpreadConstraints:
    - maxSkew: {{ $values.topologySpread.maxSkew }}
      topologyKey: {{ $values.topologySpread.topologyKey }}
      whenUnsatisfiable: {{ $values.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "nephos.selector" $labels | nindent 10 }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  containers:
    - name: nephos
      image: {{ include "nephos.image" .root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [{{ .about.command }}, --config, /etc/nephos/nephos.toml]
      securityContext:
        runAsNonRoot: true
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        privileged: false
        capabilities:
          drop: [ALL]
        seccompProfile:
          type: RuntimeDefault
      ports:
        - name: {{ .about.portName }}
          containerPort: {{ .about.port }}
        {{- if and $serves $values.api.aodhPort }}
        - name: aodh
          containerPort: 8042
        {{- end }}
        {{- if and $serves $values.api.statsd.resourceId }}
        - name: statsd
          containerPort: 8125
          protocol: UDP
        {{- end }}
        {{- if eq .component "collector" }}
        - name: store
          containerPort: 8051
        {{- end }}
      {{- with include "nephos.env" (dict "root" .root "component" .component "about" .about "polls" $polls) | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      {{- range $kind := list "startup" "liveness" "readiness" }}
      {{- $probe := get $values.probes $kind }}
      {{ $kind }}Probe:
        httpGet:
          path: {{ ternary "/readyz" "/healthz" (eq $kind "readiness") }}
          port: {{ $.about.portName }}
          {{- if and $serves $values.api.tls.existingSecret }}
          scheme: HTTPS
          {{- end }}
        periodSeconds: {{ $probe.periodSeconds }}
        timeoutSeconds: {{ $probe.timeoutSeconds }}
        failureThreshold: {{ $probe.failureThreshold }}
      {{- end }}
      resources:
        {{- toYaml $own.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/nephos
          readOnly: true
        {{- if include "nephos.credentialSources" . }}
        - name: credentials
          mountPath: /run/nephos/credentials
          readOnly: true
        {{- end }}
        {{- if and $serves $values.api.tls.existingSecret }}
        - name: tls
          mountPath: /run/nephos/tls
          readOnly: true
        {{- end }}
        {{- if $values.caBundle.existingSecret }}
        - name: ca
          mountPath: /run/nephos/ca
          readOnly: true
        {{- end }}
        - name: data
          mountPath: /var/lib/nephos
        {{- if and (eq .component "collector") $values.store.shared }}
        - name: store
          mountPath: {{ $values.store.url | trimPrefix "file:" }}
        {{- end }}
        - name: tmp
          mountPath: /tmp
        {{- if $polls }}
        - name: host-proc
          mountPath: /host/proc
          readOnly: true
        - name: host-sys
          mountPath: /host/sys
          readOnly: true
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "nephos.fullname" .root }}
    {{- with include "nephos.credentialSources" . }}
    - name: credentials
      projected:
        defaultMode: 0440
        sources:
          {{- . | nindent 10 }}
    {{- end }}
    {{- if and $serves $values.api.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ $values.api.tls.existingSecret }}
        defaultMode: 0440
    {{- end }}
    {{- with $values.caBundle.existingSecret }}
    - name: ca
      secret:
        secretName: {{ . }}
        items:
          - key: {{ $values.caBundle.existingSecretKey }}
            path: ca.crt
    {{- end }}
    {{- if and (eq .component "collector") $values.store.shared }}
    - name: store
      persistentVolumeClaim:
        claimName: {{ $values.persistence.existingClaim }}
    - name: data
      emptyDir: {sizeLimit: 64Mi}
    {{- else if not $stores }}
    - name: data
      emptyDir: {sizeLimit: 64Mi}
    {{- else if not $values.persistence.enabled }}
    - name: data
      emptyDir: {}
    {{- else if $values.persistence.existingClaim }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ $values.persistence.existingClaim }}
    {{- end }}
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- if $polls }}
    - name: host-proc
      hostPath: {path: /proc, type: Directory}
    - name: host-sys
      hostPath: {path: /sys, type: Directory}
    {{- end }}
{{- end -}}

{{/* The settings that differ between components, as variables: they override nephos.toml. */}}
{{- define "nephos.env" -}}
{{- $values := .root.Values -}}
{{- $credentials := fromYaml (include "nephos.credentials" .root) -}}
{{- $root := .root -}}
{{- range .about.uses }}
{{- if eq (include "nephos.given" (dict "root" $root "credential" .)) "true" }}
- name: {{ (get $credentials .).variable }}
  value: /run/nephos/credentials/{{ . }}
{{- end }}
{{- end }}
{{- if $values.caBundle.existingSecret }}
{{- range .about.uses }}
{{- if has . (list "index" "bus" "state") }}
- name: NEPHOS__{{ upper . }}__CA_BUNDLE
  value: /run/nephos/ca/ca.crt
{{- else if eq . "s3-access-key-id" }}
- name: NEPHOS__STORE__CA_FILE
  value: /run/nephos/ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- if eq .about.portName "observe" }}
- name: NEPHOS__OBSERVE__LISTEN
  value: 0.0.0.0:{{ .about.port }}
{{- else if $values.api.tls.existingSecret }}
- name: NEPHOS__API__TLS__CERT
  value: /run/nephos/tls/tls.crt
- name: NEPHOS__API__TLS__KEY
  value: /run/nephos/tls/tls.key
{{- end }}
{{- if eq .component "collector" }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: NEPHOS__STORE__LISTEN
  value: 0.0.0.0:8051
- name: NEPHOS__STORE__ADVERTISE
  value: http://$(POD_NAME).{{ include "nephos.componentName" . }}.{{ .root.Release.Namespace }}.svc:8051
{{- end }}
{{- if .polls }}
- name: NEPHOS__POLLING__HOST
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: NEPHOS__HYPERVISOR__PROC_ROOT
  value: /host/proc
- name: NEPHOS__HYPERVISOR__SYS_ROOT
  value: /host/sys
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where the files of a component's credentials come from; empty if it has none. */}}
{{- define "nephos.credentialSources" -}}
{{- $root := .root -}}
{{- $credentials := fromYaml (include "nephos.credentials" .root) -}}
{{- range .about.uses }}
{{- if eq (include "nephos.given" (dict "root" $root "credential" .)) "true" }}
{{- $about := get $credentials . }}
{{- $section := get $root.Values $about.section }}
- secret:
    {{- if $section.existingSecret }}
    name: {{ $section.existingSecret }}
    items: [{key: {{ get $section ($about.secretKey | default "existingSecretKey") }}, path: {{ . }}}]
    {{- else }}
    name: {{ include "nephos.credentialsName" $root }}
    items: [{key: {{ . }}, path: {{ . }}}]
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The credentials that are given as values, as entries of a Secret. */}}
{{- define "nephos.credentialTexts" -}}
{{- $root := . -}}
{{- range $name, $about := fromYaml (include "nephos.credentials" .) }}
{{- with get (get $root.Values $about.section) $about.value }}
{{ $name }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
