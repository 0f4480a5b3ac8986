{#- The key of a relation. Its parts are compared as they are: of a day written as text, each engine has its own, and a
    name may hold whatever parts two. -#}
{% test one_row_per(model, columns) %}

select {{ columns | join(', ') }}, count(*) as how_many
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
