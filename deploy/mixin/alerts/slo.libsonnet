// The error budget of 30 days, burnt too fast: over a long window, so that it matters, and over a short one, so that
// the alert ends when the trouble does.
local lib = import '../lib.libsonnet';

{
  local config = $._config,
  local burns = [
    { factor: 14.4, long: '1h', short: '5m', severity: 'critical' },
    { factor: 6, long: '6h', short: '30m', severity: 'critical' },
    { factor: 3, long: '1d', short: '2h', severity: 'warning' },
    { factor: 1, long: '3d', short: '6h', severity: 'warning' },
  ],
  local burning(slo, objective, burn) = |||
    (job:zenmux_gateway_%(slo)s_errors:ratio_rate%(long)s{%(selector)s} > %(factor)g * %(budget)g
    and job:zenmux_gateway_%(slo)s_errors:ratio_rate%(short)s{%(selector)s} > %(factor)g * %(budget)g
    and job:zenmux_gateway_%(slo)s_errors:increase%(long)s{%(selector)s} >= %(badRequestsMin)d)
  ||| % (config + burn { slo: slo, budget: 1 - objective }),
  local fast(severity) = std.filter(function(burn) burn.severity == severity, burns),
  local expr(slo, objective, severity) = lib.line(std.join('or ', [burning(slo, objective, burn) for burn in fast(severity)])),

  prometheusAlerts+:: {
    groups+: [{
      name: 'zenmux-gateway-slo',
      rules: [
        lib.alert(
          config,
          'AvailabilityBudgetBurn',
          severity,
          expr('availability', config.availabilityObjective, severity),
          "{{ $value | humanizePercentage }} of the requests fail by the gateway's own fault.",
          'At this rate the errors that %g %% allow in 30 days are used up %s. The dashboard SLO shows since when.' % [
            config.availabilityObjective * 100,
            if severity == 'critical' then 'in less than 5 days' else 'before the 30 days end',
          ]
        )
        for severity in ['critical', 'warning']
      ] + [
        lib.alert(
          config,
          'AddedLatencyBudgetBurn',
          severity,
          expr('added_latency', config.addedLatencyObjective, severity),
          '{{ $value | humanizePercentage }} of the requests wait longer than %s s for the gateway itself.' % config.addedLatencySeconds,
          'Look at the disk (commits) and the CPU of the machine, and at the database.'
        )
        for severity in ['critical', 'warning']
      ],
    }],
  },
}
