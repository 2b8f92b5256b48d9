{{- define "orchestrator.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "orchestrator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "orchestrator.labels" -}}
{{ include "orchestrator.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "orchestrator.secret" -}}
{{ .Values.redis.existingSecret | default (include "orchestrator.fullname" .) }}
{{- end }}

{{- /* The roles: a list of name, arguments, port, and what the values say of it. */ -}}
{{- define "orchestrator.roles" -}}
- name: server
  args: [server, --host, "0.0.0.0", --port, "8080"{{ if .Values.server.open }}, --open{{ end }}]
  port: 8080
  values: {{ .Values.server | toJson }}
- name: decider
  args: [decider, --no-system-tasks, --metrics-host, "0.0.0.0", --metrics-port, "9101"]
  port: 9101
  values: {{ .Values.decider | toJson }}
- name: system
  args: [system, {{ if ne (int .Values.system.concurrency) 100 }}--concurrency, {{ .Values.system.concurrency | quote }}, {{ end }}--metrics-host, "0.0.0.0", --metrics-port, "9103"]
  port: 9103
  values: {{ .Values.system | toJson }}
{{- range .Values.workers }}
- name: worker-{{ .name }}
  args: [worker, {{ range .modules }}{{ . | quote }}, {{ end }}--concurrency, {{ .concurrency | default 20 | quote }}, {{ with .domain }}--domain, {{ . | quote }}, {{ end }}--metrics-host, "0.0.0.0", --metrics-port, "9102"]
  port: 9102
  values: {{ . | toJson }}
{{- end }}
{{- end }}
