// The mixin of zenmux-gateway: alerts, recording rules and dashboards, by the names that tools for mixins expect.
(import 'config.libsonnet') +
(import 'alerts/availability.libsonnet') +
(import 'alerts/upstream.libsonnet') +
(import 'alerts/money.libsonnet') +
(import 'alerts/ledger.libsonnet') +
(import 'alerts/console.libsonnet') +
(import 'alerts/slo.libsonnet') +
(import 'rules/slo.libsonnet') +
(import 'dashboards/overview.libsonnet') +
(import 'dashboards/usage.libsonnet') +
(import 'dashboards/upstream.libsonnet') +
(import 'dashboards/ledger.libsonnet') +
(import 'dashboards/slo.libsonnet')
