# How the wall time of jobs grows. Given by plot.sh: table (x, then pitr and pgBackRest of each job), label, jobs.
set terminal svg size 640,400 font 'sans-serif,13' background '#ffffff'
set xlabel label
set ylabel 'seconds'
set xrange [0:*]
set yrange [0:*]
set offsets 0, graph 0.05, graph 0.05, 0
set grid ytics linecolor '#dddddd'
set border 3 linecolor '#888888'
set tics nomirror
set key outside right top
array colors[4] = ['#0072b2', '#d55e00', '#009e73', '#cc79a7']
plot for [i = 1:words(jobs)] table using 1:(column(2 * i)) with linespoints linecolor rgb colors[i] linewidth 2 pointtype 7 \
		title word(jobs, i) . ', pitr', \
	for [i = 1:words(jobs)] table using 1:(column(2 * i + 1)) with linespoints linecolor rgb colors[i] linewidth 1 dashtype 2 \
		pointtype 6 title word(jobs, i) . ', pgBackRest'
