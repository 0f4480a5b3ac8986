{#- Fails with each row for which the expression is false (null passes); on a column, it follows the name. -#}
{% test expression_is_true(model, expression, column_name=none) %}

{#- The rows themselves only where dbt stores them: they may be wide, and only their number counts. #}

select {{ '*' if should_store_failures() else '1' }}
from {{ model }}
where not ({{ column_name ~ ' ' if column_name is not none }}{{ expression }})

{% endtest %}
